"""boto3 and raw clients side by side while the backend and the certificate change: every answer is its caller's."""

import random
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from kill_lab import AWS, PATIENCE_S, Load, Outcome, World, a_name, answer_to, kept, tell


def sdk(load: Load, luck: random.Random) -> None:
    """Put and get objects through CONNECT, as an SDK with a proxy does; it tries nothing twice."""
    world = load.world
    settings = Config(
        proxies={"https": f"http://{world.host}:{AWS}"},
        retries={"total_max_attempts": 1},
        read_timeout=PATIENCE_S,
        s3={"payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    client = boto3.Session(region_name="us-east-1", aws_access_key_id="AKIA", aws_secret_access_key="s").client(
        "s3", config=settings, verify=str(world.folder / "root")
    )
    while load.goes_on():
        name, began, body = a_name(), time.monotonic(), luck.randbytes(luck.choice((0, 5000)))
        detail = ""
        try:
            if luck.choice((True, False)):
                client.put_object(Bucket="kill", Key=f"stored/{name}", Body=body)
                kind = "ok"
            else:
                got = client.get_object(Bucket="kill", Key=f"ok/{name}")["Body"].read()
                kind = "ok" if got == answer_to(name, b"", 0) else "wrong"
        except ClientError as error:
            kind, detail = str(error.response["ResponseMetadata"]["HTTPStatusCode"]), str(error)
        except BotoCoreError as error:
            kind, detail = type(error).__name__, str(error)
        load.add(Outcome(name=name, method="PUT", kind=kind, began=began, ended=time.monotonic(), detail=detail))


def test_an_sdk_gets_what_it_asked_for_or_an_error_it_knows(tmp_path: Path) -> None:
    with World.running(tmp_path) as world:
        (tmp_path / "root").write_text(world.root)
        with Load.on(world, sdk, sdk, kept) as load:
            load.wait(60)
            world.kill_backend()
            died = time.monotonic()
            load.wait(10, "503", since=died)
            world.start_backend()
            back = time.monotonic()
            load.wait(60, since=back)
            world.renew()
            load.wait(60, since=time.monotonic())
    load.judge(
        "503", "502", "IncompleteRead", "ConnectionResetError", "ConnectionClosedError", "ResponseStreamingError"
    )
    tell("boto3, backend killed", load, back)
