// A predictor's weights in backend memory. Engine thread only.
#pragma once

#include <vector>

#include "engine/backend/backend.h"
#include "sparsity/artifact.h"

namespace dejavu {

class DevicePredictor {
 public:
  static Result<DevicePredictor> upload(const PredictorWeights& weights, Backend& backend);

  const PredictorView& view() const { return view_; }
  std::size_t bytes() const { return storage_.bytes(); }
  // [levels][units]
  const std::vector<float>& thresholds() const { return thresholds_; }
  // Lowers every threshold: more units score high enough. Holds for ops queued from now on.
  void lower_thresholds(float by, Backend& backend);

 private:
  Buffer storage_;
  PredictorView view_;
  float* device_thresholds_ = nullptr;
  std::vector<float> thresholds_;  // what an upload under way reads
};

}  // namespace dejavu
