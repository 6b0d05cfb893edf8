#include "engine/backend/cuda/gemm.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <array>
#include <map>
#include <string>

namespace dejavu::cuda {
namespace {

struct Library {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;

  bool load() {
    void* library = nullptr;
    const std::string version = std::to_string(CUBLAS_VER_MAJOR);
    for (const std::string& name :
         {"libcublasLt.so." + version, "/usr/local/cuda/lib64/libcublasLt.so." + version}) {
      if (library == nullptr) library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    }
    if (library == nullptr) return false;
    const auto find = [library](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    return find(create, "cublasLtCreate") && find(destroy, "cublasLtDestroy") &&
           find(matmul, "cublasLtMatmul") && find(desc_create, "cublasLtMatmulDescCreate") &&
           find(desc_destroy, "cublasLtMatmulDescDestroy") &&
           find(desc_set, "cublasLtMatmulDescSetAttribute") &&
           find(layout_create, "cublasLtMatrixLayoutCreate") &&
           find(layout_destroy, "cublasLtMatrixLayoutDestroy") &&
           find(preference_create, "cublasLtMatmulPreferenceCreate") &&
           find(preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
           find(preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
           find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
  }
};

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::kF32 ? CUDA_R_32F : dtype == DType::kF16 ? CUDA_R_16F : CUDA_R_16BF;
}

bool aligned(const ConstMatrix& m) {
  const auto pack = static_cast<std::int64_t>(16 / dtype_size(m.dtype));
  return reinterpret_cast<std::uintptr_t>(m.data) % 16 == 0 && m.stride % pack == 0;
}

// What an algorithm is chosen by.
using Key = std::array<std::int64_t, 8>;

class LtGemm final : public Gemm {
 public:
  explicit LtGemm(const Library& library) : lt_(library) {}
  ~LtGemm() override {
    for (auto& [key, plan] : plans_) release(plan);
    if (handle_ != nullptr) lt_.destroy(handle_);
  }
  bool start() { return lt_.create(&handle_) == CUBLAS_STATUS_SUCCESS; }

  void run(const Queue& queue, const GemmArgs& args) override {
    const Key key = {
        args.x.rows,
        args.x.cols,
        args.y.cols,
        args.x.stride,
        args.w.stride,
        args.y.stride,
        static_cast<std::int64_t>(args.x.dtype) * 4 + static_cast<std::int64_t>(args.y.dtype),
        args.inputs_are_rows ? 1 : 0};
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      Plan plan;
      if (!make(args, plan)) {
        release(plan);
        queue.errors->fail("cuBLASLt knows no way to multiply " + std::to_string(args.x.rows) +
                           " x " + std::to_string(args.x.cols) + " by " +
                           std::to_string(args.x.cols) + " x " + std::to_string(args.y.cols));
        return;
      }
      found = plans_.emplace(key, plan).first;
    }
    const Plan& plan = found->second;
    const float alpha = 1.0F;
    const float beta = args.accumulate ? 1.0F : 0.0F;
    std::byte* workspace = queue.arena + (queue.arena_bytes - kWorkspaceBytes);
    const cublasStatus_t done = lt_.matmul(
        handle_, plan.desc, &alpha, args.w.data, plan.w, args.x.data, plan.x, &beta, args.y.data,
        plan.y, args.y.data, plan.y, &plan.algorithm, workspace, kWorkspaceBytes, queue.stream);
    if (done != CUBLAS_STATUS_SUCCESS)
      queue.errors->fail("cublasLtMatmul failed with status " + std::to_string(done));
  }

 private:
  struct Plan {
    cublasLtMatmulDesc_t desc = nullptr;
    cublasLtMatrixLayout_t w = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t y = nullptr;
    cublasLtMatmulAlgo_t algorithm = {};
  };

  void release(Plan& plan) const {
    if (plan.desc != nullptr) lt_.desc_destroy(plan.desc);
    for (cublasLtMatrixLayout_t layout : {plan.w, plan.x, plan.y})
      if (layout != nullptr) lt_.layout_destroy(layout);
  }

  // Row-major matrices are the transposes of column-major ones: y^T = w x^T.
  bool make(const GemmArgs& args, Plan& plan) const {
    const auto unsigned_of = [](std::int64_t n) { return static_cast<std::uint64_t>(n); };
    const cublasOperation_t w_op = args.inputs_are_rows ? CUBLAS_OP_N : CUBLAS_OP_T;
    const auto ok = [](cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; };
    if (!ok(lt_.desc_create(&plan.desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)) ||
        !ok(lt_.desc_set(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, &w_op, sizeof w_op)) ||
        !ok(lt_.layout_create(&plan.w, type_of(args.w.dtype), unsigned_of(args.w.cols),
                              unsigned_of(args.w.rows), args.w.stride)) ||
        !ok(lt_.layout_create(&plan.x, type_of(args.x.dtype), unsigned_of(args.x.cols),
                              unsigned_of(args.x.rows), args.x.stride)) ||
        !ok(lt_.layout_create(&plan.y, type_of(args.y.dtype), unsigned_of(args.y.cols),
                              unsigned_of(args.y.rows), args.y.stride)))
      return false;
    cublasLtMatmulPreference_t preference = nullptr;
    if (!ok(lt_.preference_create(&preference))) return false;
    const std::size_t bytes = kWorkspaceBytes;
    lt_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes);
    cublasLtMatmulHeuristicResult_t best = {};
    int found = 0;
    const cublasStatus_t status = lt_.heuristic(handle_, plan.desc, plan.w, plan.x, plan.y, plan.y,
                                                preference, 1, &best, &found);
    lt_.preference_destroy(preference);
    plan.algorithm = best.algo;
    return ok(status) && found > 0;
  }

  Library lt_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace

std::unique_ptr<Gemm> Gemm::open() {
  Library library;
  if (!library.load()) return nullptr;
  auto gemm = std::make_unique<LtGemm>(library);
  if (!gemm->start()) return nullptr;
  return gemm;
}

bool Gemm::takes(const Queue& queue, const GemmArgs& args) {
  return queue.gemm != nullptr && args.x.rows > 1 && aligned(args.x) && aligned(args.w) &&
         aligned(args.y);
}

}  // namespace dejavu::cuda
