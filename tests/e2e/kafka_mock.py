"""A cluster of Kafka for scripts: librdkafka's own mock cluster, which lives in the script's process.

Its brokers can go away and return; what they hold stays. It lets the first member of a group wait for three seconds, and
later ones for the group's session time less one second, so that sessions are short here, though not shorter than that.
"""

import ctypes
import ctypes.util
import json

SESSION_MS = 3100
PRODUCER, COPY = 0, 2  # rd_kafka_type_t, RD_KAFKA_MSG_F_COPY


def library():
    """None where there is none, or an old one without the functions."""
    try:
        found = ctypes.CDLL(ctypes.util.find_library("rdkafka") or "librdkafka.so.1")
        found.rd_kafka_handle_mock_cluster.restype = ctypes.c_void_p
    except (OSError, AttributeError):
        return None
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new"):
        getattr(found, name).restype = ctypes.c_void_p
    found.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return found


class KafkaMock:
    """A producer in it makes the messages."""

    def __init__(self, brokers=2):
        self.lib, self.topics, self.brokers, why = library(), {}, brokers, ctypes.create_string_buffer(300)
        conf = ctypes.c_void_p(self.lib.rd_kafka_conf_new())
        for name, value in ((b"test.mock.num.brokers", b"%d" % brokers), (b"linger.ms", b"1"),
                            (b"reconnect.backoff.max.ms", b"200"), (b"log_level", b"0")):
            self.lib.rd_kafka_conf_set(conf, name, value, why, len(why))
        self.rk = ctypes.c_void_p(self.lib.rd_kafka_new(PRODUCER, conf, why, len(why)))
        self.mock = ctypes.c_void_p(self.lib.rd_kafka_handle_mock_cluster(self.rk))
        self.servers = self.lib.rd_kafka_mock_cluster_bootstraps(self.mock).decode()

    def create(self, topic, partitions=4):
        self.lib.rd_kafka_mock_topic_create(self.mock, topic.encode(), partitions, 1)
        self.topics[topic] = ctypes.c_void_p(self.lib.rd_kafka_topic_new(self.rk, topic.encode(), None)), partitions

    def produce(self, topic, numbers):
        """Until the brokers have them. One may be there twice when brokers go away meanwhile."""
        handle, partitions = self.topics[topic]
        for n in numbers:
            text = b'{"n":%d}' % n
            while self.lib.rd_kafka_produce(handle, n % partitions, COPY, text, ctypes.c_size_t(len(text)), None,
                                            ctypes.c_size_t(0), None) != 0:
                self.lib.rd_kafka_poll(self.rk, 10)
        return self.lib.rd_kafka_flush(self.rk, 60000) == 0

    def count(self, topic):
        """How many messages there are."""
        total, low, high = 0, ctypes.c_int64(), ctypes.c_int64()
        for partition in range(self.topics[topic][1]):
            self.lib.rd_kafka_query_watermark_offsets(self.rk, topic.encode(), partition, ctypes.byref(low),
                                                      ctypes.byref(high), 10000)
            total += high.value
        return total

    def go_down(self):
        for broker in range(self.brokers):
            self.lib.rd_kafka_mock_broker_set_down(self.mock, broker + 1)

    def come_up(self):
        for broker in range(self.brokers):
            self.lib.rd_kafka_mock_broker_set_up(self.mock, broker + 1)

    def source(self, topic, group, **more):
        """The flags that name it."""
        properties = {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": 500, "reconnect.backoff.max.ms": 200}
        settings = {"server": self.servers, "topics": [topic], "group": group, **more,
                    "properties": {**{name: str(value) for name, value in properties.items()}, **more.get("properties", {})}}
        return ["--sources", json.dumps([{"kafka": settings}])]
