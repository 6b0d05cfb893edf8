// Charts hold every figure they are given, at the place their axes say.
#include "sparsity/report/svg_chart.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <regex>

namespace dejavu {
namespace {

std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> out;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    out.push_back((*it)[1]);
  return out;
}

TEST_CASE("A line chart has a dot a point, and leaves out what is not finite") {
  LineChart chart;
  chart.title = "a < b & c";
  chart.series = {{"one", {{0, 0}, {5, 10}, {10, NAN}}}, {"two", {{10, 10}}}};
  const std::string svg = to_svg(chart);
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
  const auto x = matches(svg, "<circle cx=\"([0-9.]+)\""), y = matches(svg, "cy=\"([0-9.]+)\"");
  REQUIRE(x.size() == 3);
  CHECK(std::stod(x[1]) == Approx((std::stod(x[0]) + std::stod(x[2])) / 2).margin(0.1));
  CHECK(y[1] == y[2]);
  CHECK(std::stod(y[0]) > std::stod(y[1]));
}

TEST_CASE("A logarithmic axis spaces decades evenly and keeps zero on its floor") {
  LineChart chart;
  chart.log_y = true;
  chart.log_floor = 0.01;
  chart.series = {{"rise", {{0, 0}, {1, 0.1}, {2, 1}, {3, 10}}}};
  const auto y = matches(to_svg(chart), "cy=\"([0-9.]+)\"");
  REQUIRE(y.size() == 4);
  const double step = std::stod(y[0]) - std::stod(y[1]);
  CHECK(step > 10);
  CHECK(std::stod(y[1]) - std::stod(y[2]) == Approx(step).margin(0.2));
  CHECK(std::stod(y[2]) - std::stod(y[3]) == Approx(step).margin(0.2));
}

TEST_CASE("A heat strip prints each value in per cent, darker where it is more") {
  const HeatStrip strip{"t", "layer", 1, {{"row", {0.1, 0.9}}}};
  const std::string svg = to_svg(strip);
  CHECK(svg.find(">10<") != std::string::npos);
  CHECK(svg.find(">90<") != std::string::npos);
  const auto shades = matches(svg, "fill-opacity=\"([0-9.]+)\"");
  REQUIRE(shades.size() == 2);
  CHECK(std::stod(shades[0]) < std::stod(shades[1]));
}

}  // namespace
}  // namespace dejavu
