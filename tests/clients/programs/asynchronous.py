"""aiobotocore: S3 and DynamoDB, fifty calls at a time."""

import asyncio

from aiobotocore.session import get_session


async def main() -> None:
    async with get_session().create_client("s3") as s3:
        await s3.create_bucket(Bucket="async-tests")
        await asyncio.gather(*(s3.put_object(Bucket="async-tests", Key=f"k{n}", Body=b"v") for n in range(50)))
        listed = await s3.list_objects_v2(Bucket="async-tests")
        assert listed["KeyCount"] == 50
        got = await s3.get_object(Bucket="async-tests", Key="k7")
        async with got["Body"] as body:
            assert await body.read() == b"v"
    print("aiobotocore")


asyncio.run(main())
