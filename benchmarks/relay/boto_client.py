"""A boto3 program that calls DynamoDB for a while. Runs inside a pod, by its path: ENDPOINT SECONDS."""

import contextlib
import json
import sys
import time
from itertools import count
from typing import Any

import boto3


def main() -> None:
    """Warm up, call until the time is over, print how it went."""
    db = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=sys.argv[1] or None)
    with contextlib.suppress(db.exceptions.ResourceInUseException):
        db.create_table(
            TableName="bench",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
    _calls(db, 50)
    wall, cpu = time.perf_counter(), time.process_time()
    operations = 0
    latencies = []
    for number in count():
        began = time.perf_counter()
        if began - wall > float(sys.argv[2]):
            break
        operations += _calls(db, 1, number)
        latencies.append((time.perf_counter() - began) / 2)
    latencies.sort()
    print(
        json.dumps(
            {
                "requests": operations,
                "rate": operations / (time.perf_counter() - wall),
                "client_cpu_us": (time.process_time() - cpu) / operations * 1e6,
                "p50_ms": latencies[len(latencies) // 2] * 1000,
            }
        )
    )


def _calls(db: Any, pairs: int, first: int = 0) -> int:
    for number in range(first, first + pairs):
        item = {"id": {"S": str(number % 50)}, "v": {"S": "x" * 200}}
        db.put_item(TableName="bench", Item=item)
        db.get_item(TableName="bench", Key={"id": {"S": str(number % 50)}})
    return 2 * pairs


if __name__ == "__main__":
    main()
