// The JavaScript SDK v3 as an application uses it.
import assert from "node:assert/strict";
import { DynamoDBClient, CreateTableCommand, PutItemCommand, GetItemCommand } from "@aws-sdk/client-dynamodb";
import { S3Client, CreateBucketCommand, PutObjectCommand, GetObjectCommand } from "@aws-sdk/client-s3";
import { SQSClient, CreateQueueCommand, SendMessageCommand, ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { STSClient, GetCallerIdentityCommand } from "@aws-sdk/client-sts";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const s3 = new S3Client({});
await s3.send(new CreateBucketCommand({ Bucket: "js-tests" }));
await s3.send(new PutObjectCommand({ Bucket: "js-tests", Key: "k", Body: "hello from JS" }));
const got = await s3.send(new GetObjectCommand({ Bucket: "js-tests", Key: "k" }));
assert.equal(await got.Body.transformToString(), "hello from JS");
const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket: "js-tests", Key: "k" }), { expiresIn: 60 });
assert.equal(await (await fetch(url)).text(), "hello from JS");
await assert.rejects(s3.send(new GetObjectCommand({ Bucket: "js-tests", Key: "absent" })), { name: "NoSuchKey" });
console.log("s3");

const db = new DynamoDBClient({});
await db.send(new CreateTableCommand({
  TableName: "js", BillingMode: "PAY_PER_REQUEST",
  KeySchema: [{ AttributeName: "id", KeyType: "HASH" }],
  AttributeDefinitions: [{ AttributeName: "id", AttributeType: "S" }],
}));
await db.send(new PutItemCommand({ TableName: "js", Item: { id: { S: "1" }, n: { N: "42" } } }));
assert.equal((await db.send(new GetItemCommand({ TableName: "js", Key: { id: { S: "1" } } }))).Item.n.N, "42");
console.log("dynamodb");

const sqs = new SQSClient({});
const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "js" }));
await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "a job" }));
assert.equal((await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages[0].Body, "a job");
console.log("sqs");

const me = await new STSClient({}).send(new GetCallerIdentityCommand({}));
assert.equal(me.Account, "000000000000");
console.log("sts");
