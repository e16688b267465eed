// The bodies of layer 3.
#pragma once
#include <deepseek/policy/impl/pipeline.ipp>
