#include "sparsity/audit.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <random>

#include "sparsity/expected_union.h"

using namespace dejavu;

namespace {

using Block = Auditor::Block;

AuditRecord record_of(int width, const std::vector<float>& parts, std::vector<float> out) {
  AuditRecord record;
  record.units = static_cast<int>(parts.size()) / 2 / width;
  record.unit_width = width;
  record.parts.resize(parts.size() * sizeof(float));
  std::memcpy(record.parts.data(), parts.data(), record.parts.size());
  record.out = std::move(out);
  return record;
}

}  // namespace

TEST_CASE("an audit counts what the token needed and was given", "[audit]") {
  // Five neurons; the dense row has three that are not zero, one of which was left out.
  const AuditFigures neurons =
      judge(record_of(1, {3, 0, 0, 0, 1, 3, 0, 2, 0, 1}, {3, 4, 0, 0, 3, 4, 0, 5}));
  CHECK(neurons.active == 3);
  CHECK(neurons.recalled == 2);
  CHECK(neurons.missed_mass == Approx(4.0 / 14));
  CHECK(neurons.relative_error == Approx(5.0 / std::sqrt(50.0)));

  // Two groups of two, none of them zero: the larger holds 95 % of the squares.
  const AuditFigures heads = judge(record_of(2, {9, 9, 0, 0, 9, 9, 1, -1}, {1, 1}));
  CHECK(heads.active == 1);
  CHECK(heads.recalled == 1);
  CHECK(heads.missed_mass == Approx(2.0 / 164));
  CHECK(heads.relative_error == 0);
}

TEST_CASE("an audit is due once an interval and takes blocks in turn", "[audit]") {
  Auditor auditor({.interval = 3, .error_limit = 0.5}, 4);
  CHECK_FALSE(auditor.due());
  CHECK_FALSE(auditor.due());
  CHECK(auditor.due());
  CHECK_FALSE(auditor.choose({}));
  CHECK(auditor.due());  // no block was sparse: still due
  const std::vector<Block> blocks = {
      {1, AuditKind::kNeurons}, {1, AuditKind::kHeads}, {3, AuditKind::kNeurons}};
  std::vector<int> seen(3);
  for (int i = 0; i < 9; ++i) {
    const auto block = auditor.choose(blocks);
    REQUIRE(block);
    for (std::size_t b = 0; b < 3; ++b) seen[b] += static_cast<int>(blocks[b] == *block);
  }
  CHECK(seen == std::vector<int>{3, 3, 3});
  CHECK_FALSE(auditor.due());
  Auditor never({.interval = 0}, 4);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(never.due());
}

TEST_CASE("a block whose error stays above the limit is widened twice, then made dense",
          "[audit]") {
  Auditor auditor({.interval = 1, .error_limit = 0.5}, 4);
  const Block bad{2, AuditKind::kNeurons};
  const std::vector<Block> blocks = {{1, AuditKind::kNeurons}, bad};
  const auto verdict = [&](double error) {
    AuditAction action = AuditAction::kNone;
    for (int i = 0; i < Auditor::kConvict; ++i) {
      CHECK(action == AuditAction::kNone);
      action = auditor.judged(bad, error);
      if (i == 0) CHECK(auditor.choose(blocks) == bad);  // a suspect is looked at again
    }
    return action;
  };
  CHECK(verdict(0.6) == AuditAction::kWiden);
  CHECK(verdict(0.6) == AuditAction::kWiden);
  CHECK(auditor.widened(bad) == 2);
  CHECK_FALSE(auditor.dense(bad));
  CHECK(verdict(0.6) == AuditAction::kMakeDense);
  CHECK(auditor.dense(bad));
  CHECK_FALSE(auditor.dense({1, AuditKind::kNeurons}));
  CHECK_FALSE(auditor.dense({2, AuditKind::kHeads}));
}

TEST_CASE("an error now and then is no reason to widen", "[audit]") {
  Auditor auditor({.interval = 1, .error_limit = 0.5}, 1);
  const Block block{0, AuditKind::kNeurons};
  for (int i = 0; i < 200; ++i)
    CHECK(auditor.judged(block, i % 4 == 0 ? 0.9 : 0.1) == AuditAction::kNone);
  CHECK(auditor.recent_error(block) < 0.5);
}

TEST_CASE("what is over the limit in one audit of six is kept, in two of three is not", "[audit]") {
  std::mt19937 random(1);
  const auto audits_until_widened = [&](double share) {
    Auditor auditor({.interval = 1, .error_limit = 0.5}, 1);
    const Block block{0, AuditKind::kHeads};
    std::bernoulli_distribution over(share);
    for (int i = 1; i <= 100'000; ++i)
      if (auditor.judged(block, over(random) ? 0.9 : 0.1) != AuditAction::kNone) return i;
    return 0;
  };
  CHECK(audits_until_widened(1.0 / 6) == 0);
  const int soon = audits_until_widened(2.0 / 3);
  CHECK(soon >= Auditor::kConvict);
  CHECK(soon < 200);
}

TEST_CASE("tokens of which a block makes little do not speak for it", "[audit]") {
  // Relative to almost nothing, their errors carry any mean over the limit.
  Auditor auditor({.interval = 1, .error_limit = 0.5}, 1);
  const Block block{0, AuditKind::kHeads};
  for (int i = 0; i < 200; ++i)
    CHECK(auditor.judged(block, i % 4 == 0 ? 9.0 : 0.1) == AuditAction::kNone);
  CHECK(auditor.recent_error(block) == 0.1);
}

TEST_CASE("an error that made a block wider can still be read", "[audit]") {
  Auditor auditor({.interval = 1, .error_limit = 0.5}, 1);
  const Block block{0, AuditKind::kHeads};
  for (int i = 0; i < Auditor::kConvict - 1; ++i) auditor.judged(block, 0.6);
  CHECK(auditor.judged(block, 0.6) == AuditAction::kWiden);
  CHECK(auditor.recent_error(block) == 0.6);
}

TEST_CASE("an expected union starts calibrated and follows what comes back", "[audit]") {
  ExpectedUnion::Shares shares{};
  shares.fill(0.2);
  ExpectedUnion expected({shares, shares});
  CHECK(expected.of({0, 0}) == 0);
  CHECK(expected.of({1, 0}) == 0.2);
  CHECK(expected.of({3, 9}) == Approx(0.4));
  for (int i = 0; i < 200; ++i) expected.observed(1, 9, 0.9);
  CHECK(expected.of({0, 9}) == Approx(0.9).margin(0.01));
  CHECK(expected.of({0, 16}) == Approx(0.9).margin(0.01));  // the same bucket
  CHECK(expected.of({0, 4}) == 0.2);
  CHECK(expected.of({9, 9}) == 1);
  CHECK(union_bucket(1) == 0);
  CHECK(union_bucket(3) == 2);
  CHECK(union_bucket(64) == 6);
  CHECK(union_bucket(1000) == 6);
}
