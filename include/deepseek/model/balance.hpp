// GET /user/balance.
#pragma once
#include <string>
#include <vector>

#include <deepseek/core/raw_json.hpp>

DEEPSEEK_BEGIN_NAMESPACE

/// Amounts are decimal strings, as the service sends them: no rounding here.
struct BalanceInfo {
  std::string currency{};  ///< CNY, USD
  std::string total_balance{};
  std::string granted_balance{};
  std::string topped_up_balance{};
};

struct Balance {
  bool is_available = false;
  std::vector<BalanceInfo> balance_infos{};
  RawJson raw{};
};

DEEPSEEK_END_NAMESPACE
