// What a test program holds, counted at `new` and `delete`: the same with any allocator. Replaces
// both for the whole program, so include it in one source only.
#pragma once

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace transcribe::testing {

// Bytes in use. One thread.
inline std::size_t held_bytes = 0;

inline void* count_in(std::size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  held_bytes += malloc_usable_size(memory);
  return memory;
}

inline void count_out(void* memory) noexcept {
  if (memory != nullptr) held_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace transcribe::testing

void* operator new(std::size_t size) { return transcribe::testing::count_in(size); }
void* operator new[](std::size_t size) { return transcribe::testing::count_in(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return transcribe::testing::count_in(size);
}
void operator delete(void* memory) noexcept { transcribe::testing::count_out(memory); }
void operator delete[](void* memory) noexcept { transcribe::testing::count_out(memory); }
void operator delete(void* memory, std::size_t) noexcept { transcribe::testing::count_out(memory); }
void operator delete[](void* memory, std::size_t) noexcept {
  transcribe::testing::count_out(memory);
}
