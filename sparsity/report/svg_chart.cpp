#include "sparsity/report/svg_chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>

namespace dejavu {
namespace {

constexpr double kWidth = 720;
constexpr double kHeight = 400;
constexpr double kLeft = 76, kRight = 170, kTop = 44, kBottom = 56;  // margins
// Distinct for people who do not see all colours, and on white as on black.
constexpr std::array<const char*, 8> kColours = {"#2a78d6", "#d9730d", "#1a9a6c", "#c2408f",
                                                 "#8a6fe0", "#a88a00", "#5b8a9a", "#d04040"};
constexpr const char* kStyle =
    "<style>text{font:12px system-ui,sans-serif;fill:#4a525c}.title{font-size:15px;"
    "font-weight:600}.grid{stroke:#8a94a0;stroke-opacity:.28}.axis{stroke:#8a94a0}"
    "@media(prefers-color-scheme:dark){text{fill:#b8c0ca}}</style>\n";

std::string number(double value, const char* format = "%.1f") {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

struct TextPlace {
  double x = 0, y = 0;
  const char* anchor = "start";
  const char* more = "";  // further attributes
};

std::string text_at(const TextPlace& place, const std::string& text) {
  return "<text x=\"" + number(place.x) + "\" y=\"" + number(place.y) + "\" text-anchor=\"" +
         place.anchor + "\"" + place.more + ">" + escaped(text) + "</text>\n";
}

std::string line(ChartPoint from, ChartPoint to, const char* kind) {
  return std::string("<line class=\"") + kind + "\" x1=\"" + number(from.x) + "\" y1=\"" +
         number(from.y) + "\" x2=\"" + number(to.x) + "\" y2=\"" + number(to.y) + "\"/>\n";
}

std::string open_svg(double width, double height, const std::string& title) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(width, "%.0f") + " " +
         number(height, "%.0f") + "\" role=\"img\" aria-label=\"" + escaped(title) + "\">\n" +
         kStyle + text_at({kLeft, 24, "start", " class=\"title\""}, title);
}

struct Axis {
  double low = 0, high = 1;
  std::vector<double> ticks;
};

// Ticks at 1, 2 or 5 times a power of ten, from a whole one below to a whole one above.
Axis linear_axis(double low, double high) {
  if (!(high > low)) high = low + 1;
  const double rough = (high - low) / 5;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * power >= rough) step = factor * power;
  Axis axis{std::floor(low / step) * step, std::ceil(high / step - 1e-9) * step, {}};
  for (int i = 0; axis.low + i * step <= axis.high + step / 2; ++i)
    axis.ticks.push_back(axis.low + i * step);
  return axis;
}

// In decades; ticks are the logarithms.
Axis log_axis(double low, double high) {
  Axis axis{std::floor(low), std::max(std::ceil(high), std::floor(low) + 1), {}};
  for (double tick = axis.low; tick <= axis.high; ++tick) axis.ticks.push_back(tick);
  return axis;
}

class Plot {
 public:
  explicit Plot(const LineChart& chart) : chart_(chart) {
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    for (const ChartSeries& series : chart.series) {
      for (const ChartPoint& point : series.points) {
        if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
        low_x = std::min(low_x, point.x);
        high_x = std::max(high_x, point.x);
        low_y = std::min(low_y, value(point));
        high_y = std::max(high_y, value(point));
      }
    }
    if (low_x > high_x) low_x = high_x = low_y = high_y = 0;
    x_ = linear_axis(low_x, high_x);
    y_ = chart.log_y ? log_axis(low_y, high_y) : linear_axis(std::min(low_y, 0.0), high_y);
  }

  std::string draw() const {
    std::string out = open_svg(kWidth, kHeight, chart_.title) + axes();
    for (std::size_t i = 0; i < chart_.series.size(); ++i) out += series(i);
    return out + "</svg>\n";
  }

 private:
  double value(const ChartPoint& point) const {
    return chart_.log_y ? std::log10(std::max(point.y, chart_.log_floor)) : point.y;
  }
  double place_x(double x) const {
    return kLeft + (x - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight);
  }
  double place_y(double y) const {
    return kHeight - kBottom - (y - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom);
  }

  std::string axes() const {
    const double right = kWidth - kRight, bottom = kHeight - kBottom;
    std::string out;
    for (const double tick : y_.ticks) {
      const double y = place_y(tick);
      out += line({kLeft, y}, {right, y}, "grid");
      out += text_at({kLeft - 8, y + 4, "end"},
                     number(chart_.log_y ? std::pow(10, tick) : tick, "%.4g"));
    }
    for (const double tick : x_.ticks) {
      out += line({place_x(tick), bottom}, {place_x(tick), bottom + 5}, "axis");
      out += text_at({place_x(tick), bottom + 20, "middle"}, number(tick, "%.4g"));
    }
    out += line({kLeft, bottom}, {right, bottom}, "axis");
    out += text_at({(kLeft + right) / 2, kHeight - 12, "middle"}, chart_.x_label);
    const double middle = (kTop + bottom) / 2;
    const std::string turn = " transform=\"rotate(-90 16 " + number(middle) + ")\"";
    return out + text_at({16, middle, "middle", turn.c_str()}, chart_.y_label);
  }

  std::string series(std::size_t index) const {
    const ChartSeries& series = chart_.series[index];
    const std::string colour = kColours[index % kColours.size()];
    std::string path, dots;
    for (const ChartPoint& point : series.points) {
      if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
      const std::string x = number(place_x(point.x)), y = number(place_y(value(point)));
      path += (path.empty() ? "M" : "L") + x + " " + y;
      dots += "<circle cx=\"" + x + "\" cy=\"" + y + "\" r=\"3\" fill=\"" + colour + "\"/>\n";
    }
    const double y = kTop + 12 + 20 * static_cast<double>(index);
    const double x = kWidth - kRight + 16;
    return "<path d=\"" + path + "\" fill=\"none\" stroke=\"" + colour +
           "\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\n" + dots + "<rect x=\"" + number(x) +
           "\" y=\"" + number(y - 9) + "\" width=\"12\" height=\"10\" rx=\"2\" fill=\"" + colour +
           "\"/>\n" + text_at({x + 18, y}, series.name);
  }

  const LineChart& chart_;
  Axis x_, y_;
};

std::string heat_cell(ChartPoint at, ChartPoint size, double shade, const std::string& label) {
  return "<rect x=\"" + number(at.x) + "\" y=\"" + number(at.y) + "\" width=\"" +
         number(size.x - 1) + "\" height=\"" + number(size.y - 1) + "\" fill=\"" + kColours[0] +
         "\" fill-opacity=\"" + number(0.04 + 0.7 * shade, "%.2f") + "\"/>\n" +
         text_at({at.x + size.x / 2, at.y + size.y / 2 + 4, "middle"}, label);
}

}  // namespace

std::string to_svg(const LineChart& chart) { return Plot(chart).draw(); }

std::string to_svg(const HeatStrip& strip) {
  constexpr double kName = 190, kRowHeight = 26;
  std::size_t columns = 1;
  for (const HeatStrip::Row& row : strip.rows) columns = std::max(columns, row.values.size());
  const double cell = std::clamp(620 / static_cast<double>(columns), 30.0, 64.0);
  const double width = kName + cell * static_cast<double>(columns) + 20;
  const double bottom = kTop + kRowHeight * static_cast<double>(strip.rows.size());
  std::string out = open_svg(width, bottom + 44, strip.title);
  for (std::size_t r = 0; r < strip.rows.size(); ++r) {
    const HeatStrip::Row& row = strip.rows[r];
    const double y = kTop + kRowHeight * static_cast<double>(r);
    out += text_at({kName - 10, y + kRowHeight / 2 + 4, "end"}, row.name);
    for (std::size_t c = 0; c < row.values.size(); ++c) {
      if (!std::isfinite(row.values[c])) continue;
      out += heat_cell({kName + cell * static_cast<double>(c), y}, {cell, kRowHeight},
                       std::clamp(row.values[c] / strip.full, 0.0, 1.0),
                       number(100 * row.values[c], "%.0f"));
    }
  }
  for (std::size_t c = 0; c < columns; ++c)
    out += text_at({kName + cell * (static_cast<double>(c) + 0.5), bottom + 16, "middle"},
                   std::to_string(c));
  return out +
         text_at({kName + cell * static_cast<double>(columns) / 2, bottom + 36, "middle"},
                 strip.column_label) +
         "</svg>\n";
}

Status write_text_file(const std::filesystem::path& path, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return invalid("cannot write " + path.string() + ": choose another folder", "out");
  return {};
}

}  // namespace dejavu
