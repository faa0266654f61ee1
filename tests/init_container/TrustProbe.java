/** Connects to 127.0.0.1:PORT as HOST with the JVM's default trust and prints "trusted" or the complaint. */
public class TrustProbe {
    public static void main(String[] arguments) throws Exception {
        String host = arguments[0];
        java.net.Socket tcp = new java.net.Socket("127.0.0.1", Integer.parseInt(arguments[1]));
        javax.net.ssl.SSLSocketFactory factory =
            (javax.net.ssl.SSLSocketFactory) javax.net.ssl.SSLSocketFactory.getDefault();
        try (javax.net.ssl.SSLSocket tls = (javax.net.ssl.SSLSocket) factory.createSocket(tcp, host, 443, true)) {
            javax.net.ssl.SSLParameters parameters = tls.getSSLParameters();
            parameters.setEndpointIdentificationAlgorithm("HTTPS");
            tls.setSSLParameters(parameters);
            tls.startHandshake();
            System.out.println("trusted");
        } catch (javax.net.ssl.SSLException refusal) {
            System.out.println("refused: " + refusal.getMessage());
        }
    }
}
