#!/usr/bin/env python3
"""The speed table of the README: bench_sdk beside the libcurl floors of the shared folder, as Markdown.

  report.py PROGRAM [--rounds 5] [--only NAME,...]

PROGRAM is a bench_sdk built for release; bench_cache and bench_limits are expected beside it. The floors (raw_curl, raw_curl_multi) and the load server are
compiled from bench/ of the shared folder (DEEPSEEK_SHARED_DIR) into a temporary folder. In each round the
clients run one after the other, a ratio is taken inside its round, and the median of those ratios is
printed: load from elsewhere hits both. Counts (instructions, allocations, system calls) are differences of
two runs and need valgrind and strace; the Redis row needs redis-server. What is missing is left out by name.
"""
import argparse, json, os, re, resource, shutil, signal, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SHARED = os.environ.get("DEEPSEEK_SHARED_DIR", os.path.join(os.path.dirname(ROOT), "shared"))
median = statistics.median


def build(folder):
    source = os.path.join(SHARED, "bench")
    if not os.path.exists(os.path.join(source, "sse_server.cpp")):
        sys.exit("SKIPPED: the load server is not there (bench/sse_server.cpp in DEEPSEEK_SHARED_DIR)")
    for name, libraries in (("raw_curl", ["-lcurl"]), ("raw_curl_multi", ["-lcurl"]),
                            ("sse_server", ["-lssl", "-lcrypto", "-lpthread"])):
        subprocess.run(["g++", "-std=c++20", "-O2", "-w", "-o", os.path.join(folder, name),
                        os.path.join(source, name + ".cpp"), *libraries], check=True)


class Server:
    def __init__(self, folder, *more):
        self.process = subprocess.Popen([os.path.join(folder, "sse_server"), "--life", "3000", *more],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def run(program, words, env=None):
    """One run: its figures, and `start_us` from the start of the process to the first token."""
    began = time.monotonic_ns()
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=300,
                          env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise RuntimeError(f"{os.path.basename(program)} {words[0]}: {done.stderr.strip()[-200:]}")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    figures["start_us"] = (figures["first_ns"] - began) / 1e3 if figures["first_ns"] else None
    return figures


def rounds(count, *clients):
    """[(figures of the first client, of the second, ...)], one entry per round, clients in turn."""
    return [tuple(client() for client in clients) for _ in range(count)]


def ratio(pairs, key):
    return median([sdk[key] / base[key] for sdk, base in pairs])


def certificates(folder):
    """A server certificate, the system's bundle with it, and the system's hashed folder with it."""
    cert, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    bundle, hashed = os.path.join(folder, "bundle.pem"), os.path.join(folder, "hashed")
    with open(bundle, "w") as out:
        for part in ("/etc/ssl/certs/ca-certificates.crt", cert):
            out.write(open(part).read())
    os.mkdir(hashed)
    for name in os.listdir("/etc/ssl/certs"):
        if re.fullmatch(r"[0-9a-f]{8}\.\d+", name):
            os.symlink(os.path.realpath(os.path.join("/etc/ssl/certs", name)), os.path.join(hashed, name))
    name = subprocess.run(["openssl", "x509", "-hash", "-noout", "-in", cert], capture_output=True, text=True).stdout.strip()
    number = 0  # the lookup stops at the first number that is not there
    while os.path.lexists(os.path.join(hashed, f"{name}.{number}")):
        number += 1
    shutil.copy(cert, os.path.join(hashed, f"{name}.{number}"))
    return cert, key, bundle, hashed


class Report:
    def __init__(self, program, folder, count):
        self.sdk, self.folder, self.count, self.rows = os.path.abspath(program), folder, count, []
        self.curl, self.multi = (os.path.join(folder, name) for name in ("raw_curl", "raw_curl_multi"))
        self.server = Server(folder)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def row(self, what, bar, aim, text):
        self.rows.append(f"| {what} | {bar} | {aim} | {text} |")
        print(self.rows[-1], file=sys.stderr, flush=True)

    def pairs(self, base, mode, path, requests, in_flight, warm=2, env=None, base_env=None):
        words = [mode, self.url + path, requests, in_flight, warm]
        return rounds(self.count, lambda: run(self.sdk, words, env), lambda: run(base, words, base_env))

    # --- counts -------------------------------------------------------------------------------------
    def instructions(self, program, mode, path, requests, env=None):
        done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, mode,
                               self.url + path, str(requests), "1", "0"], capture_output=True, text=True,
                              env={**os.environ, **(env or {})})
        return int(re.search(r"Collected : (\d+)", done.stderr).group(1))

    def system_calls(self, program, mode, path, requests):
        out = os.path.join(self.folder, "strace")
        subprocess.run(["strace", "-f", "-c", "-o", out, program, mode, self.url + path, str(requests), "1", "0"],
                       capture_output=True, check=True)
        rows = (line.split() for line in open(out))
        return sum(int(r[3]) for r in rows if len(r) > 3 and re.fullmatch(r"[\d.]+", r[0]) and r[-1] != "total")

    def counts(self):
        if shutil.which("valgrind"):
            def per_event(program, env=None):
                return (self.instructions(program, "parse", "/n12000", 1, env) - self.instructions(program, "parse", "/n2000", 1, env)) / 1e4
            push, pull = (per_event(self.sdk, {"DEEPSEEK_BENCH_FACE": face}) for face in ("callback", "pull"))
            self.row("typed streaming, flat out: instructions per event", "<= 1150", "<= 918",
                     f"callback {push:.0f}, pull {pull:.0f} (curl, text only: {per_event(self.curl):.0f})")
            def cost(path):
                return (self.instructions(self.sdk, "parse", path, 5) - self.instructions(self.sdk, "parse", "/n1", 5)) / 5
            short, commented, long = cost("/n1000") / 999, cost("/n1000/k4") / 999, cost("/n20000") / 19999
            self.row("cost per event at 20000 / at 1000; with keep-alive comments / without (instructions)", "<= 1.1; <= 1.1", "",
                     f"{long / short:.2f}; {commented / short:.2f}")
        counting = {"DEEPSEEK_BENCH_ALLOCS": "1"}
        def allocations(mode, path, requests, face="callback"):
            return run(self.sdk, [mode, self.url + path, requests, 1, 2], {**counting, "DEEPSEEK_BENCH_FACE": face})["allocs"]
        push, pull = ((allocations("parse", "/n52000", 1, f) - allocations("parse", "/n2000", 1, f)) / 5e4 for f in ("callback", "pull"))
        self.row("heap allocations per event, steady", "0", "0", f"callback {push:.3f}, pull {pull:.3f}")
        self.call_allocations = allocations("json", "/", 200) / 200
        if shutil.which("strace"):
            self.paced_calls = [(self.system_calls(p, "parse", "/n1200/p2000", 1) - self.system_calls(p, "parse", "/n200/p2000", 1)) / 1e3
                                for p in (self.sdk, self.curl)]

    # --- times, as ratios in a round ------------------------------------------------------------------
    def flat(self):
        pairs = self.pairs(self.curl, "parse", "/n50", 1000, 1, 20)
        self.row("1000 x 50 events, CPU and wall", "<= 1.25 x", "<= 0.7 x", f"{ratio(pairs, 'cpu_us'):.2f} x; {ratio(pairs, 'wall_us'):.2f} x")

    def paced(self):
        pairs = self.pairs(self.curl, "parse", "/n1500/p1000/l1", 1, 1, 0)
        calls = getattr(self, "paced_calls", None)
        self.row("paced stream: system calls per event; CPU", "<= 3; <= 1.05 x", "<= 2; <= 0.8 x",
                 (f"{calls[0]:.1f} (curl {calls[1]:.1f})" if calls else "-") + f"; {ratio(pairs, 'cpu_us'):.2f} x")
        gap = median([sdk["lat_p50_us"] - base["lat_p50_us"] for sdk, base in pairs])
        self.row("token latency p50, callback face", "curl + 5 us", "below curl", f"curl {gap:+.1f} us (p50 {median([s['lat_p50_us'] for s, _ in pairs]):.0f} us)")

    def many(self):
        pairs = self.pairs(self.multi, "parse", "/n50/p100000/l1", 1000, 1000, 0)
        kilobytes = median([(sdk["rss_kb"] - sdk["rss0_kb"]) / 1000 for sdk, _ in pairs])
        cert, key, bundle, _ = self.certificates
        secure = Server(self.folder, "--tls", cert, key)
        words = ["parse", f"https://127.0.0.1:{secure.port}/n50/p100000/l1", 1000, 1000, 0]
        over_tls = rounds(self.count, lambda: run(self.sdk, words, {"BENCH_CA": cert}), lambda: run(self.multi, words, {"BENCH_CA": cert}))
        secure.stop()
        tls_kilobytes, tls_floor = (median([(r["rss_kb"] - r["rss0_kb"]) / 1000 for r in column]) for column in zip(*over_tls))
        whole = run(self.sdk, ["parse", self.url + "/n10/p500000/l1", 5000, 5000, 0])
        self.row("1000 paced streams, one thread: CPU; memory each", "<= 1.1 x; <= 20 KB, 80 KB with TLS; none lost at 5000",
                 "0.9 x; 4 KB; 36 KB", f"{ratio(pairs, 'cpu_us'):.2f} x; {kilobytes:.1f} KB, {tls_kilobytes:.1f} KB with TLS (libcurl {tls_floor:.1f}); "
                 f"{50000 - whole['events']} of 50000 events lost at 5000")

    def json(self):
        pairs = self.pairs(self.curl, "json", "/", 1000, 1, 50)
        self.row("non-streamed call, sequential, sync face: CPU; allocations", "<= 1.15 x; <= 60", "<= 0.7 x; 20",
                 f"{ratio(pairs, 'cpu_us'):.2f} x; {getattr(self, 'call_allocations', float('nan')):.0f}")
        pairs = self.pairs(self.multi, "json", "/", 3200, 64, 64)
        self.row("64 in flight: requests/s", ">= 0.87 x", ">= 1.5 x", f"{1 / ratio(pairs, 'wall_us'):.2f} x")

    def cold(self):
        count, self.count = self.count, 4 * self.count
        plain = ratio(self.pairs(self.curl, "parse", "/n50", 1, 1, 0), "start_us")
        cert, key, bundle, hashed = self.certificates
        secure = Server(self.folder, "--tls", cert, key)
        words = ["parse", f"https://127.0.0.1:{secure.port}/n50", 1, 1, 0]
        over_tls = ratio(rounds(self.count, lambda: run(self.sdk, words, {"BENCH_CAPATH": hashed}),
                                lambda: run(self.curl, words, {"BENCH_CA": bundle})), "start_us")
        secure.stop()
        self.count = count
        self.row("cold start to first token; over TLS with the system's CAs", "<= 1.15 x; <= 0.45 x", "", f"{plain:.2f} x; {over_tls:.2f} x")

    def cancel(self):
        p99 = median([run(self.sdk, ["cancel", "-", 300, 1, 20])["lat_p99_us"] for _ in range(self.count)])
        self.row("cancel from another thread to closed stream, p99", "<= 1 ms", "", f"{p99 / 1e3:.3f} ms")

    # --- policies -----------------------------------------------------------------------------------
    def policies(self):
        every, none = ({"DEEPSEEK_BENCH_POLICIES": word} for word in ("all", "none"))
        def cost(mode, path, requests):
            return ratio(self.pairs(self.sdk, mode, path, requests, 1, 20, every, none), "cpu_us")
        self.row("all policies / none: CPU of a streamed event; of a call that is not streamed", "", "",
                 f"{cost('parse', '/n20000', 20):.2f} x; {cost('json', '/', 5000):.2f} x")

    def beside(self, name):
        program = os.path.join(os.path.dirname(self.sdk), name)
        if not os.path.exists(program):
            raise RuntimeError(f"{name} is not built (DEEPSEEK_BENCH, and for bench_cache the components redis and sqlite)")
        return program

    def cache(self):
        words = [self.beside("bench_cache"), str(10 * self.count), "--folder", os.path.join(self.folder, "cache")]
        redis = None
        if shutil.which("redis-server"):
            path = os.path.join(self.folder, "redis")
            redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", path, "--save", ""], stdout=subprocess.DEVNULL)
            words += ["--redis", "unix://" + path]
            while not os.path.exists(path) and redis.poll() is None:
                time.sleep(0.01)
        def figures(*before):
            said = subprocess.run([*before, *words], capture_output=True, text=True, check=True, timeout=600).stdout
            return {name: float(nanoseconds) for name, nanoseconds in re.findall(r"^(\w+) +(\d+) ns", said, re.M)}
        def over_get(figure):
            return f"{figure['redis'] / figure['bare_get']:.2f} x"
        try:
            figure = figures()
            over_redis = "redis-server is not there"
            if redis:
                over_redis = over_get(figure)
                os.sched_setaffinity(redis.pid, {0})
                over_redis += f"; {over_get(figures('taskset', '-c', '0'))} on one processor"
        finally:
            if redis:
                redis.terminate()
                redis.wait()
        self.row("cache hit, request of 1 KB: memory; SQLite; Redis / a bare GET (Unix socket)", "<= 2.5 us; <= 14 us; <= 1.25 x",
                 "", f"{figure['memory'] / 1e3:.1f} us; {figure['disk'] / 1e3:.1f} us; {over_redis}")

    def limits(self):
        runs = [json.loads(subprocess.run([self.beside("bench_limits")], capture_output=True, text=True, check=True).stdout)
                for _ in range(self.count)]
        least = {key: min(run[key] for run in runs) for key in runs[0]}
        self.row("limiter, acquire with clock: alone; two threads", "<= 45 ns; <= 90 ns", "",
                 f"{least['acquire_with_clock_ns']:.0f} ns; {least['acquire_with_clock_2_threads_ns']:.0f} ns (the clock: {least['clock_ns']:.0f} ns)")

    def compile(self):
        def user_seconds(source):  # os.times() counts in hundredths
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            subprocess.run(["g++", "-std=c++17", "-O0", "-DDEEPSEEK_COMPILED", "-I" + os.path.join(ROOT, "include"), "-c", "-o",
                            os.devnull, "-x", "c++", "-"], input=source, text=True, check=True)
            return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        api = "#include <deepseek/deepseek.hpp>\nint main() { return deepseek::DeepSeekClient::create() ? 0 : 1; }\n"
        base = "#include <string>\n#include <vector>\nint main() { return 0; }\n"
        runs = [(user_seconds(api), user_seconds(base)) for _ in range(max(15, self.count))]
        least = [min(column) for column in zip(*runs)]
        ratio = median([api_seconds / base_seconds for api_seconds, base_seconds in runs])
        self.row("a user's TU that includes <deepseek/deepseek.hpp>, library mode, C++17 -O0", "<= 1.1 s where <string>+<vector> takes 0.27 s (4.1 x)",
                 "", f"{ratio:.2f} x (the least of each: {least[0]:.3f} s and {least[1]:.3f} s, {least[0] / least[1]:.2f} x)")


def main():
    words = argparse.ArgumentParser()
    words.add_argument("program")
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--only", default="counts,flat,paced,many,json,cold,cancel,policies,cache,limits,compile")
    options = words.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # 5000 streams; the children inherit it
    with tempfile.TemporaryDirectory() as folder:
        build(folder)
        report = Report(options.program, folder, options.rounds)
        report.certificates = certificates(folder)
        try:
            for name in options.only.split(","):
                try:
                    getattr(report, name)()
                except (RuntimeError, OSError, subprocess.SubprocessError) as failure:
                    report.row(name, "", "", f"failed: {failure}")
        finally:
            report.server.stop()
    print("| what | bar | aim | measured |\n| --- | --- | --- | --- |")
    print("\n".join(report.rows))


main()
