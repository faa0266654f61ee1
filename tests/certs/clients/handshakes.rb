# A new TLS connection for every URL on standard input; one line of outcome for each.
require "net/https"

$stdout.sync = true
puts "ready #{RUBY_VERSION}, #{OpenSSL::OPENSSL_LIBRARY_VERSION[0, 14]}"
$stdin.each_line do |line|
  begin
    url = URI(line.strip)
    options = { use_ssl: true, open_timeout: 20, read_timeout: 20, max_retries: 0 }
    status = Net::HTTP.start(url.host, url.port, options) { |http| http.get(url.path, "Connection" => "close").code }
    puts(status == "200" ? "ok" : "refused HTTP #{status}")
  rescue StandardError => e
    puts "refused #{e.class}: #{e.message.tr("\n", " ")}"[0, 300]
  end
end
