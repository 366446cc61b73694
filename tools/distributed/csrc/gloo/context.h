// Declared only: objects are made and used inside libtorch.
#pragma once
#include <chrono>
#include <memory>

namespace gloo {
class Context {
 public:
  virtual ~Context();
  void setTimeout(std::chrono::milliseconds);
};
}  // namespace gloo
