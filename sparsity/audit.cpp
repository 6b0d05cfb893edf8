#include "sparsity/audit.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace dejavu {
namespace {

// Share of the squares that "what the token needs" means where no activation is exactly zero.
constexpr double kActiveShare = 0.95;

double square(double x) { return x * x; }

std::vector<double> unit_squares(const AuditRecord& record, int row) {
  std::vector<double> squares(static_cast<std::size_t>(record.units));
  const auto width = static_cast<std::size_t>(record.unit_width);
  const std::size_t first = static_cast<std::size_t>(row) * squares.size() * width;
  for (std::size_t i = 0; i < squares.size() * width; ++i)
    squares[i / width] += square(load_element(record.parts.data(), record.dtype, first + i));
  return squares;
}

// Units the dense row needs.
std::vector<bool> active_units(const std::vector<double>& squares, double total) {
  std::vector<bool> active(squares.size());
  const bool has_zeros = std::ranges::find(squares, 0.0) != squares.end();
  std::vector<std::size_t> order(squares.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](auto a, auto b) { return squares[a] > squares[b]; });
  double held = 0;
  for (const std::size_t unit : order) {
    if (has_zeros ? squares[unit] == 0 : held >= kActiveShare * total) break;
    active[unit] = true;
    held += squares[unit];
  }
  return active;
}

}  // namespace

AuditFigures judge(const AuditRecord& record) {
  AuditFigures figures;
  const std::vector<double> served = unit_squares(record, 0);
  const std::vector<double> dense = unit_squares(record, 1);
  const double total = std::accumulate(dense.begin(), dense.end(), 0.0);
  const std::vector<bool> active = active_units(dense, total);
  double missed = 0;
  for (std::size_t u = 0; u < active.size(); ++u) {
    const bool left_out = served[u] == 0;
    figures.active += static_cast<int>(active[u]);
    figures.recalled += static_cast<int>(active[u] && !left_out);
    if (left_out) missed += dense[u];
  }
  figures.missed_mass = total > 0 ? missed / total : 0;

  const std::size_t width = record.out.size() / 2;
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < width; ++i) {
    difference += square(static_cast<double>(record.out[i]) - record.out[width + i]);
    size += square(record.out[width + i]);
  }
  if (difference > 0) figures.relative_error = size > 0 ? std::sqrt(difference / size) : 1;
  return figures;
}

Auditor::Auditor(const Options& options, int layers)
    : options_(options), health_(static_cast<std::size_t>(layers * kAuditKinds)) {}

bool Auditor::due() {
  if (options_.interval == 0) return false;
  return ++since_last_ >= options_.interval;
}

std::optional<Auditor::Block> Auditor::choose(const std::vector<Block>& blocks) {
  if (blocks.empty()) return {};
  since_last_ = 0;
  if (suspect_ && std::ranges::find(blocks, *suspect_) != blocks.end()) return suspect_;
  // The next in turn.
  for (std::size_t i = 0; i < health_.size(); ++i) {
    turn_ = (turn_ + 1) % health_.size();
    const auto it =
        std::ranges::find_if(blocks, [this](const Block& block) { return index(block) == turn_; });
    if (it != blocks.end()) return *it;
  }
  return {};
}

AuditAction Auditor::judged(const Block& block, double relative_error) {
  Health& own = health(block);
  if (own.dense) return AuditAction::kNone;  // audited before it was made so
  own.recent.push_back(relative_error);
  if (own.recent.size() > kConvict) own.recent.erase(own.recent.begin());
  const bool over = relative_error > options_.error_limit;
  if (!suspect_ && over) suspect_ = block;
  if (suspect_ != block) return AuditAction::kNone;
  own.points += over ? 1 : -1;
  if (own.points > 0 && own.points < kConvict) return AuditAction::kNone;
  suspect_.reset();
  if (std::exchange(own.points, 0) == 0) return AuditAction::kNone;
  if (own.widened < kMostWidened) {
    ++own.widened;
    return AuditAction::kWiden;
  }
  own.dense = true;
  return AuditAction::kMakeDense;
}

double Auditor::recent_error(const Block& block) const {
  std::vector<double> errors = health(block).recent;
  if (errors.empty()) return 0;
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>((errors.size() - 1) / 2);
  std::ranges::nth_element(errors, middle);
  return *middle;
}

}  // namespace dejavu
