"""TLS to brokers: one whose certificate an authority of ours has signed gives rows; with another authority, or under another
name, the words say that its certificate is not trusted, and nothing is read.
"""

import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading

from crawl import check, equal, main, wait_until
from ingest import AmqpPublisher, Mosquitto, Pipeline, Publisher, RabbitMq, free_port, has_pika, try_ask
from kafka_mock import KafkaMock, library


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates():
    """ca.pem and other.pem are authorities; server.pem, of the first, is for localhost alone."""
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out",
            "server.csr", "-subj", "/CN=localhost")
    with open("names", "w", encoding="utf-8") as file:
        file.write("subjectAltName=DNS:localhost\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem",
            "-days", "2", "-extfile", "names")
    os.chmod("server.key", 0o644)


def begin(name, source):
    return Pipeline("--source", source, "--out", f"sqlite:{name}.db?table=rows", "--name", name, log=f"{name}.log")


def refused(name, source):
    """It says that it is the certificate, whether it ends or goes on trying."""
    pipeline = begin(name, source)
    wait_until(f"{name}: it says something of the certificate ({pipeline.text()[-300:]})",
               lambda: "certificate" in pipeline.text().lower() or pipeline.is_over())
    check(f"{name}: the words are of the certificate", "certificate" in pipeline.text().lower(), pipeline.text())
    if not pipeline.is_over():
        pipeline.interrupt()
    equal(f"{name}: rows", [], try_ask(f"{name}.db", "SELECT n FROM rows"))


def taken(name, source, publish):
    pipeline = begin(name, source)
    wait_until(f"{name}: a row", lambda: (publish(), try_ask(f"{name}.db", "SELECT n FROM rows"))[1])
    equal(f"{name}: its exit", 0, pipeline.interrupt())
    pipeline.balance()


def check_broker(name, url, port, query, publish):
    """The refused ones at once, as each takes its time."""
    threads = [threading.Thread(target=refused, args=(
                   f"{name}-{case}", f"{url.format(f'{host}:{port}')}?{query.format(0)}{more}"))
               for case, host, more in (("other", "localhost", "&ca=other.pem"), ("unknown", "localhost", ""),
                                        ("name", "127.0.0.1", "&ca=ca.pem"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken(f"{name}-ca", f"{url.format(f'localhost:{port}')}?{query.format(1)}&ca=ca.pem", publish)
    taken(f"{name}-insecure", f"{url.format(f'127.0.0.1:{port}')}?{query.format(2)}&insecure=true", publish)


def mqtt():
    if not os.path.exists("/usr/sbin/mosquitto"):
        return print("  skipped: there is no mosquitto")
    broker, port = Mosquitto(), free_port()
    with open("mosquitto.conf", "a", encoding="utf-8") as file:
        file.write(f"listener {port} 127.0.0.1\ncertfile {broker.where}/server.pem\nkeyfile {broker.where}/server.key\n")
    broker.run()
    publisher, numbers = Publisher(broker.port), itertools.count()
    check_broker("mqtt", "mqtts://{}/s/%23", port, "qos=1", lambda: publisher.try_publish(b"s/1", [next(numbers)]))
    broker.kill()


def amqp():
    if not os.path.exists(RabbitMq.program) or not has_pika():
        return print("  skipped: there is no rabbitmq-server, or no python3-pika")
    port, here, numbers = free_port(), os.getcwd(), itertools.count()
    broker = RabbitMq(f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {here}/ca.pem\n"
                      f"ssl_options.certfile = {here}/server.pem\nssl_options.keyfile = {here}/server.key\n"
                      "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n")
    broker.run()
    publisher = AmqpPublisher(broker.port)
    wait_until("the broker takes messages", lambda: publisher.try_publish([next(numbers)]))
    check_broker("amqp", "amqps://{}", port, "queue=rows", lambda: publisher.try_publish([next(numbers)]))
    broker.kill()


class KafkaTls:
    """TLS before the mock cluster, which has none. The cluster says where its brokers are; that is changed to here."""

    def __init__(self, server):
        self.server = server
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain("server.pem", "server.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            link, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        host, port = self.server.split(":")
        try:
            link = self.context.wrap_socket(link, server_side=True)
            broker = socket.create_connection((host, int(port)))
        except OSError:
            return link.close()
        threading.Thread(target=self.carry, args=(link, broker, b"", b""), daemon=True).start()
        self.carry(broker, link, b"127.0.0.1" + int(port).to_bytes(4, "big"), b"localhost" + self.port.to_bytes(4, "big"))

    def carry(self, source, target, old, new):
        try:
            while data := source.recv(1 << 16):
                target.sendall(data.replace(old, new) if old else data)
        except OSError:
            pass
        for end in (source, target):
            end.close()


def kafka():
    if not library():
        return print("  skipped: there is no librdkafka with a mock cluster")
    mock, numbers = KafkaMock(1), itertools.count()
    mock.create("rows", 1)
    tls = KafkaTls(mock.servers)
    check_broker("kafka", "kafkas://{}/rows", tls.port, "group=g{}", lambda: mock.produce("rows", [next(numbers)]))


def everything():
    make_certificates()
    threads = [threading.Thread(target=part) for part in (mqtt, amqp, kafka)
               if len(sys.argv) < 3 or part.__name__ in sys.argv[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main(everything)
