"""A boto3 program that calls DynamoDB when told to. Runs inside a pod, by its path: ENDPOINT."""

import contextlib
import json
import sys
import time
from typing import Any

import boto3


def main() -> None:
    """Be ready; for each number on standard input, call for so many seconds and say how it went."""
    db = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=sys.argv[1] or None)
    with contextlib.suppress(db.exceptions.ResourceInUseException):
        db.create_table(
            TableName="bench",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
    _calls(db, 20)
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(_measured(db, float(line))), flush=True)


def _measured(db: Any, seconds: float) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    latencies: list[float] = []
    while (began := time.perf_counter()) - wall < seconds:
        _calls(db, 1, len(latencies))
        latencies.append((time.perf_counter() - began) / 2)
    operations = 2 * len(latencies)
    return {
        "requests": operations,
        "rate": operations / (time.perf_counter() - wall),
        "client_cpu_us": (time.process_time() - cpu) / operations * 1e6,
        "p50_ms": sorted(latencies)[len(latencies) // 2] * 1000,
    }


def _calls(db: Any, pairs: int, first: int = 0) -> None:
    for number in range(first, first + pairs):
        item = {"id": {"S": str(number % 50)}, "v": {"S": "x" * 200}}
        db.put_item(TableName="bench", Item=item)
        db.get_item(TableName="bench", Key={"id": {"S": str(number % 50)}})


if __name__ == "__main__":
    main()
