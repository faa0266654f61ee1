// A new TLS connection for every URL on standard input; one line of outcome for each.
// Usage: node handshakes.mjs {https,sdk} [DIRECTORY OF node_modules]
import { createRequire } from "node:module";
import https from "node:https";
import readline from "node:readline";

const fresh = () => new https.Agent({ keepAlive: false, maxCachedSessions: 0 });

function byHttps() {
  return (url) => new Promise((resolve, reject) => {
    const request = https.get(url, { agent: fresh(), timeout: 20000 }, (response) => {
      if (response.socket.isSessionReused?.()) reject(new Error("the session was resumed"));
      response.on("end", () => response.statusCode === 200 ? resolve() : reject(new Error(`HTTP ${response.statusCode}`)));
      response.resume();
    });
    request.on("timeout", () => request.destroy(new Error("no answer in 20 s")));
    request.on("error", reject);
  });
}

function bySdk(directory) {
  const require = createRequire(`${directory}/package.json`);
  const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
  return async (url) => {
    const elsewhere = new URL(url).hostname.endsWith("amazonaws.com") ? undefined : url;
    const client = new STSClient({
      region: "eu-west-1", maxAttempts: 1, endpoint: elsewhere,
      requestHandler: { httpsAgent: fresh(), connectionTimeout: 20000, requestTimeout: 20000 },
    });
    try {
      await client.send(new GetCallerIdentityCommand({}));
    } finally {
      client.destroy();
    }
  };
}

const connect = process.argv[2] === "sdk" ? bySdk(process.argv[3]) : byHttps();
console.log(`ready ${process.version}, OpenSSL ${process.versions.openssl}`);
for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    await connect(line.trim());
    console.log("ok");
  } catch (error) {
    console.log(`refused ${error.code ?? ""} ${error.message}`.replace(/\s+/g, " ").slice(0, 300));
  }
}
