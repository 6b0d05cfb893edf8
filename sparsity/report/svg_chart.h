// Charts as SVG text, for documents: transparent, readable on light and dark pages, no scripts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/result.h"

namespace dejavu {

struct ChartPoint {
  double x = 0;
  double y = 0;
};

struct ChartSeries {
  std::string name;
  std::vector<ChartPoint> points;  // joined in this order; those that are not finite are left out
};

struct LineChart {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool log_y = false;  // values below log_floor are drawn on it
  double log_floor = 1e-4;
  std::vector<ChartSeries> series;
};

// Rows of cells, shaded from 0 (nothing) to `full`, each with its value in it.
struct HeatStrip {
  std::string title;
  std::string column_label;  // what columns count, from 0: "layer"
  double full = 1;
  struct Row {
    std::string name;
    std::vector<double> values;
  };
  std::vector<Row> rows;
};

std::string to_svg(const LineChart& chart);
std::string to_svg(const HeatStrip& strip);

// Creates the folder where needed. The error names the file.
Status write_text_file(const std::filesystem::path& path, const std::string& text);

}  // namespace dejavu
