"""What the relay costs a boto3 program: PutItem and GetItem against one emulator, with and without `kecs run`.

Two clients live at the same time and take turns, round by round: one inside `kecs run --backend`, one that speaks plain
HTTP to the same emulator (its host name leads there through a hosts file of its own). The figure is the median of the
rounds' ratios. Needs root. Usage: python benchmarks/boto3_overhead.py [--rounds 9] [--operations 300]
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CLIENT = """
import json, sys, time
import boto3
endpoint = sys.argv[1] or None
keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
db = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=endpoint, **keys)
try:
    db.create_table(TableName="bench", BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
except db.exceptions.ResourceInUseException:
    pass
print("ready", flush=True)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(int(line)):
        db.put_item(TableName="bench", Item={"id": {"S": str(number % 50)}, "v": {"S": "x" * 200}})
        db.get_item(TableName="bench", Key={"id": {"S": str(number % 50)}})
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
"""


def client(prefix: list[str], endpoint: str) -> subprocess.Popen[str]:
    """Start a client that waits for rounds."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", CLIENT, endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def measure(process: subprocess.Popen[str], operations: int) -> tuple[float, float]:
    """Run one round; return operations per second and the client's CPU seconds per operation."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{operations // 2}\n")
    process.stdin.flush()
    wall, cpu = json.loads(process.stdout.readline())
    return operations / wall, cpu / operations


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--operations", type=int, default=300)
    options = parser.parse_args()
    host = "dynamodb.us-east-1.amazonaws.com"
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryDirectory() as folder:
        port = listener.getsockname()[1]
        emulator = subprocess.Popen(
            [sys.executable, "-m", "kecs.emulator", "--fd", str(listener.fileno())], pass_fds=[listener.fileno()]
        )
        hosts = Path(folder) / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {host}\n")
        mount = f'mount --bind {hosts} /etc/hosts && exec "$@"'
        direct = client(["unshare", "-m", "sh", "-c", mount, "sh"], f"http://{host}:{port}")
        ours = [sys.executable, "-m", "kecs.cli", "run", "--quiet", "--backend", f"http://127.0.0.1:{port}", "--"]
        relayed = client(ours, "")
        for process in (direct, relayed):
            measure(process, options.operations)  # warms connections and the emulator
        rates, cpus = [], []
        for number in range(options.rounds):
            order = (direct, relayed) if number % 2 else (relayed, direct)
            found = {id(process): measure(process, options.operations) for process in order}
            (plain, plain_cpu), (through, through_cpu) = found[id(direct)], found[id(relayed)]
            rates.append(through / plain)
            cpus.append(through_cpu / plain_cpu)
            print(f"round {number + 1}: direct {plain:7.0f} op/s   relayed {through:7.0f} op/s   ratio {rates[-1]:.3f}")
        print(f"paired median: {statistics.median(rates):.3f} of direct (spread {min(rates):.3f} to {max(rates):.3f})")
        print(f"client CPU per operation, paired median: {statistics.median(cpus):.2f}x (TLS included)")
        for process in (direct, relayed):
            assert process.stdin
            process.stdin.close()
            process.wait()
        emulator.terminate()
        emulator.wait()


if __name__ == "__main__":
    main()
