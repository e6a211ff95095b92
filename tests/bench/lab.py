"""A local mesh for one side of the comparison: its pods, a measured run inside the client, clean-up."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")

POD = """---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: bench, labels: {{app: {name}}}}}
spec:
  nodeName: {node}
  containers:
"""
CONTAINER = "  - {{name: {name}, image: culvert/meshapp, command: [meshapp, {command}]}}\n"


def which(program):
    return shutil.which(program)


def manifests():
    text = ("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: bench\n"
            "  labels: {istio.io/dataplane-mode: ambient}\n")
    text += POD.format(name="client", node="node-1") + CONTAINER.format(name="sleep", command="sleep")
    for name, node in (("near", "node-1"), ("far", "node-2")):
        text += POD.format(name=name, node=node)
        for server, command in (("http", "serve, --port, \"8080\""), ("echo", "tcp-echo, --port, \"9000\""),
                                ("sink", "sink, --port, \"9002\"")):
            text += CONTAINER.format(name=server, command=command)
    return text


def seconds_of(pid):
    """User and system time of a process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds():
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def busy_percent():
    """How much of all cores was in use during one second of doing nothing."""
    before = machine_seconds()
    time.sleep(1)
    return 100 * (machine_seconds() - before) / os.cpu_count()


def rss_kib(pid):
    found = re.search(r"^VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found.group(1)) if found else 0


def parse_wrk(text):
    def microseconds(value, unit):
        return float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]

    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))
    done = int(re.search(r"(\d+) requests in", text).group(1))
    p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", text).groups()
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    errors = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", text))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    return {"done": done, "rate": rate, "errors": errors + (int(bad.group(1)) if bad else 0),
            "p50_us": microseconds(*p50), "p99_us": microseconds(*p99)}


# One worker a node, as the reference was measured. On a machine whose cores also run the load and the
# server, two workers a node are more threads than cores: a tunnel then waits milliseconds for its
# thread to be scheduled, which is the scheduler's latency and not the mesh's.
DAEMON_SETTINGS = "ZTUNNEL_WORKER_THREADS=1"


class Lab:
    def __init__(self, bin_dir, kind):
        self.meshctl = str(pathlib.Path(bin_dir).resolve() / "meshctl")
        self.kind = kind
        self.name = f"bench-{kind}-{os.getpid()}"
        self.root = pathlib.Path("/run/mesh") / self.name
        self.ips = {}

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def ctl(self, *words, stdin=None, check=True, timeout=120):
        settings = os.environ.get("MESH_LOCAL_ENV", DAEMON_SETTINGS)
        done = subprocess.run([self.meshctl, "--name", self.name, *words], input=stdin, text=True,
                              capture_output=True, timeout=timeout,
                              env={**os.environ, "MESH_LOCAL_ENV": settings})
        if check and done.returncode != 0:
            raise SystemExit(f"bench: meshctl {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def up(self):
        self.ctl("local", "up", "--nodes", "2", *(["--no-mesh"] if self.kind == "plain" else []))
        self.ctl("local", "apply", "-f", "-", stdin=manifests())
        deadline = time.monotonic() + 60
        while not all(self.ready(pod) for pod in ("client", "near", "far")):
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: the pods of {self.name} did not come up\n{self.ctl('local', 'ps', check=False).stdout}")
            time.sleep(0.2)
        for pod in ("client", "near", "far"):
            # Short connections use up the ports of a pod within seconds otherwise, in both labs.
            self.exec(pod, ["sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=16384 65535"])
        if self.kind == "mesh":
            for node in ("node-1", "node-2"):  # as the reference was measured: no line per connection
                self.in_node(node, ["curl", "-s", "-m", "5", "-X", "POST", "http://127.0.0.1:15000/logging?level=warn"])
        for path in ("two-nodes", "same-node"):  # certificates and tunnels are part of start-up
            while self.exec("client", ["meshapp", "client", f"http://{self.target(path)}:8080/"]).returncode != 0:
                if time.monotonic() > deadline:
                    raise SystemExit(f"bench: no traffic {path} in {self.name}")
                time.sleep(0.2)

    def down(self):
        self.ctl("local", "down", check=False)

    def ready(self, pod):
        got = self.ctl("local", "get", "Pod", pod, "-n", "bench", "-o", "json", check=False)
        if got.returncode != 0:
            return False
        status = json.loads(got.stdout).get("status", {})
        if status.get("phase") != "Running" or not status.get("podIP"):
            return False
        self.ips[pod] = status["podIP"]
        return True

    def target(self, path):
        return self.ips["far" if path == "two-nodes" else "near"]

    def exec(self, pod, argv, timeout=120):
        return self.ctl("local", "exec", "-n", "bench", pod, "--", *argv, check=False, timeout=timeout)

    def in_node(self, node, argv):
        return subprocess.run(["nsenter", f"--net=/run/netns/mesh-{self.name}-{node}", *argv], text=True,
                              capture_output=True)

    def ztunnels(self):
        pids = []
        for node in ("node-1", "node-2"):
            file = self.root / "run" / "pids" / f"ztunnel-{node}"
            if self.kind == "mesh":
                pids.append(int(file.read_text()))
        return pids

    def run(self, command, parse):
        pids = self.ztunnels()
        machine, daemons = machine_seconds(), sum(map(seconds_of, pids))
        done = self.exec("client", command)
        usage = {"machine_s": machine_seconds() - machine, "daemons_s": sum(map(seconds_of, pids)) - daemons}
        try:
            return parse(done.stdout), usage
        except (ValueError, AttributeError):
            raise SystemExit(f"bench: {' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}")

    def idle_memory(self, connections):
        """Growth of both daemons while `connections` from client to far are held."""
        pids = self.ztunnels()
        before = [rss_kib(pid) for pid in pids]
        words = [self.meshctl, "--name", self.name, "local", "exec", "-n", "bench", "client", "--", "meshapp", "load",
                 "idle", "--connect", f"{self.ips['far']}:9000", "-c", str(connections), "--seconds", "5"]
        with subprocess.Popen(words, text=True, stdout=subprocess.PIPE) as load:
            held = int(load.stdout.readline().split()[1])
            time.sleep(1)
            after = [rss_kib(pid) for pid in pids]
            load.communicate()
        return {"connections": held, "client_kib": (after[0] - before[0]) / held, "server_kib": (after[1] - before[1]) / held}

    def captured_connections(self):
        page = self.in_node("node-1", ["curl", "-s", "-m", "5", "http://127.0.0.1:15020/metrics"]).stdout
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                       if line.startswith("istio_tcp_connections_opened_total") and 'reporter="source"' in line))


def first_line(*command):
    try:
        return subprocess.run(command, text=True, capture_output=True).stdout.strip().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def facts(one):
    """What a number of another machine would have to share to be compared."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    bridge = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    return {
        "kernel": os.uname().release,
        "cpu": f"{os.cpu_count()} x {cpu.group(1) if cpu else os.uname().machine}",
        "congestion control in the pods": one.exec("client", ["sysctl", "-n", "net.ipv4.tcp_congestion_control"]).stdout.strip(),
        "settings of the daemons": os.environ.get("MESH_LOCAL_ENV", DAEMON_SETTINGS),
        "br_netfilter": "on" if bridge.exists() and bridge.read_text().strip() == "1" else "off",
        "openssl": first_line("openssl", "version"),
        "mesh": first_line(one.meshctl, "version"),
    }
