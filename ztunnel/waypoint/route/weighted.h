// A choice by weight. A single one is chosen whatever its weight; 0 among several is never.
#pragma once

#include <cstdint>
#include <vector>

namespace mesh::route {

// `choices` is not empty; `sum` is that of their weights, not 0 for several.
template <typename Choice>
const Choice& PickWeighted(const std::vector<Choice>& choices, uint64_t sum, uint64_t random) {
  if (choices.size() == 1) return choices.front();
  uint64_t left = random % sum;
  for (const Choice& choice : choices) {
    if (left < choice.weight) return choice;
    left -= choice.weight;
  }
  return choices.back();
}

}  // namespace mesh::route
