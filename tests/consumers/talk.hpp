// What each consumer does: one whole and one streamed call to the server at `base_url`.
#pragma once

/// True if both calls ended well. DEEPSEEK_TALK names the function, so that two modes fit in one program.
bool DEEPSEEK_TALK(const char* base_url);
