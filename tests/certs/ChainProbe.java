import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** For each NAME reads NAME.roots.pem and NAME.chain.pem, and prints what JSSE's own trust manager says of the chain. */
public class ChainProbe {
    public static void main(String[] names) throws Exception {
        for (String name : names) {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            int number = 0;
            for (X509Certificate root : read(name + ".roots.pem")) {
                store.setCertificateEntry("root" + number++, root);
            }
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            factory.init(store);
            X509TrustManager manager = (X509TrustManager) factory.getTrustManagers()[0];
            try {
                manager.checkServerTrusted(read(name + ".chain.pem"), "ECDHE_ECDSA");
                System.out.println(name + ": trusted");
            } catch (CertificateException refusal) {
                System.out.println(name + ": refused: " + refusal.getMessage());
            }
        }
    }

    private static X509Certificate[] read(String file) throws Exception {
        try (InputStream stream = Files.newInputStream(Path.of(file))) {
            return CertificateFactory.getInstance("X.509").generateCertificates(stream).toArray(new X509Certificate[0]);
        }
    }
}
