// A Java program on the JDK's own HTTP client, which offers h2 and http/1.1. It signs by itself (SigV4).
import java.net.URI;
import java.net.http.*;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.*;
import java.time.format.DateTimeFormatter;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Sqs {
    static final String HOST = "sqs.us-east-1.amazonaws.com";

    static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    static String hex(byte[] bytes) {
        return java.util.HexFormat.of().formatHex(bytes);
    }

    static String sha(String text) throws Exception {
        return hex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    static String call(HttpClient client, String operation, String body) throws Exception {
        String time = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC).format(Instant.now());
        String day = time.substring(0, 8);
        String target = "AmazonSQS." + operation;
        String canonical = "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:" + HOST + "\nx-amz-date:" + time
            + "\nx-amz-target:" + target + "\n\ncontent-type;host;x-amz-date;x-amz-target\n" + sha(body);
        String scope = day + "/us-east-1/sqs/aws4_request";
        byte[] key = hmac(hmac(hmac(hmac("AWS4test".getBytes(), day), "us-east-1"), "sqs"), "aws4_request");
        String signature = hex(hmac(key, "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n" + sha(canonical)));
        HttpRequest request = HttpRequest.newBuilder(URI.create("https://" + HOST + "/"))
            .header("Content-Type", "application/x-amz-json-1.0").header("X-Amz-Date", time).header("X-Amz-Target", target)
            .header("Authorization", "AWS4-HMAC-SHA256 Credential=test/" + scope
                + ", SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=" + signature)
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
        HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
        if (response.statusCode() != 200) throw new IllegalStateException(response.statusCode() + " " + response.body());
        return response.body();
    }

    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        System.out.println(call(client, "CreateQueue", "{\"QueueName\":\"java\"}"));
        System.out.println(call(client, "ListQueues", "{}"));
    }
}
