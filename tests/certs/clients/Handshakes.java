// A new TLS connection for every URL on standard input; one line of outcome for each.
// Usage: java Handshakes {urlconnection,httpclient}
import java.io.*;
import java.net.URI;
import java.net.URL;
import java.net.http.*;
import java.time.Duration;
import java.util.Collections;
import javax.net.ssl.*;

public class Handshakes {
    interface Connect {
        int status(String url) throws Exception;
    }

    static int byUrlConnection(String url) throws Exception {
        HttpsURLConnection connection = (HttpsURLConnection) new URL(url).openConnection();
        connection.setConnectTimeout(20000);
        connection.setReadTimeout(20000);
        connection.setRequestProperty("Connection", "close");
        try (InputStream body = connection.getInputStream()) {
            body.readAllBytes();
        }
        return connection.getResponseCode();
    }

    static int byHttpClient(String url) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(20)).build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
    }

    /** Both share the default context; what it remembers would resume the next connection. */
    static void forgetSessions() throws Exception {
        SSLSessionContext sessions = SSLContext.getDefault().getClientSessionContext();
        for (byte[] id : Collections.list(sessions.getIds())) {
            SSLSession session = sessions.getSession(id);
            if (session != null) session.invalidate();
        }
    }

    static String reason(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable one = error; one != null && text.length() < 280; one = one.getCause()) {
            text.append(one.getClass().getSimpleName()).append(": ").append(one.getMessage()).append("; ");
        }
        return text.toString().replaceAll("\\s+", " ");
    }

    public static void main(String[] arguments) throws Exception {
        Connect connect = arguments[0].equals("httpclient") ? Handshakes::byHttpClient : Handshakes::byUrlConnection;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ready " + System.getProperty("java.version"));
        for (String line; (line = lines.readLine()) != null; ) {
            try {
                forgetSessions();
                int status = connect.status(line.trim());
                System.out.println(status == 200 ? "ok" : "refused HTTP " + status);
            } catch (Exception error) {
                System.out.println("refused " + reason(error));
            }
        }
    }
}
