#!/usr/bin/python3
"""Clients that mean no good: hostile.py PORT CHECK [ARGUMENT].

Each check talks to the engine over raw sockets and exits 0 when the engine answers as it should,
or prints what it did instead and exits 1.
"""

import os
import random
import select
import socket
import sys
import time

HEAD = b'Host: x\r\n'
JOBS = b'POST /ojs/v1/jobs HTTP/1.1\r\n' + HEAD
JSON = b'Content-Type: application/json\r\n'


def posted(body):
    return JOBS + JSON + b'Content-Length: %d\r\n\r\n' % len(body) + body


def connect(port):
    return socket.create_connection(('127.0.0.1', port), timeout=30)


def is_readable(sock, wait_s):
    """As select does it, for descriptors of any number."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(wait_s * 1000))


def read_all(sock, limit_s=20, silence_s=1.0):
    """What comes until the peer closes or nothing has come for so long."""
    got = b''
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not is_readable(sock, silence_s if got else limit_s):
            break
        try:
            piece = sock.recv(65536)
        except OSError:
            break
        if not piece:
            break
        got += piece
    return got


def exchange(port, data, limit_s=20, silence_s=1.0):
    with connect(port) as sock:
        try:
            sock.sendall(data)
        except OSError:
            pass                          # it may refuse before it has read everything
        return read_all(sock, limit_s, silence_s)


def status_of(answer):
    parts = answer.split(b' ', 2)
    return int(parts[1]) if answer.startswith(b'HTTP/1.') and len(parts) > 1 else None


def health(port):
    began = time.monotonic()
    answer = exchange(port, b'GET /ojs/v1/health HTTP/1.1\r\n' + HEAD + b'Connection: close\r\n\r\n', 20, 20)
    took = time.monotonic() - began
    if status_of(answer) != 200:
        sys.exit('health answered %r' % answer[:100])
    return took


# What must be refused, and the statuses that will do.
SHAPES = [
    ('length and chunks', JOBS + JSON + b'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n'
     b'0\r\n\r\n', {400}),
    ('two lengths', JOBS + JSON + b'Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}', {400}),
    ('same length twice', JOBS + JSON + b'Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}', {400}),
    ('length list', JOBS + JSON + b'Content-Length: 2, 2\r\n\r\n{}', {400}),
    ('negative length', JOBS + JSON + b'Content-Length: -2\r\n\r\n{}', {400}),
    ('length with a sign', JOBS + JSON + b'Content-Length: +2\r\n\r\n{}', {400}),
    ('length over 64 bits', JOBS + JSON + b'Content-Length: 99999999999999999999999\r\n\r\n',
     {400, 413}),
    ('2 GiB announced', JOBS + JSON + b'Content-Length: 2147483648\r\n\r\n{"a":', {413}),
    ('unknown coding', JOBS + JSON + b'Transfer-Encoding: gzip\r\n\r\n', {400, 501}),
    ('chunked twice', JOBS + JSON + b'Transfer-Encoding: chunked, chunked\r\n\r\n', {400, 501}),
    ('bad chunk size', JOBS + JSON + b'Transfer-Encoding: chunked\r\n\r\nxyz\r\n', {400}),
    ('huge chunk size', JOBS + JSON + b'Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
     {400, 413}),
    ('bare LF', b'GET /healthz HTTP/1.1\nHost: x\n\n', {400}),
    ('folded header', b'GET /healthz HTTP/1.1\r\n' + HEAD + b'X: a\r\n b\r\n\r\n', {400}),
    ('space before the colon', b'GET /healthz HTTP/1.1\r\n' + HEAD + b'X : a\r\n\r\n', {400}),
    ('NUL in a header', b'GET /healthz HTTP/1.1\r\n' + HEAD + b'X: a\0b\r\n\r\n', {400}),
    ('no host', b'GET /healthz HTTP/1.1\r\n\r\n', {400}),
    ('two hosts', b'GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', {400}),
    ('no length', JOBS + JSON + b'\r\n', {400, 411}),
    ('long line', b'GET /' + b'a' * 100000 + b' HTTP/1.1\r\n' + HEAD + b'\r\n', {414}),
    ('large header', b'GET /healthz HTTP/1.1\r\n' + HEAD + b'X: ' + b'a' * 300000 + b'\r\n\r\n',
     {431}),
    ('many headers', b'GET /healthz HTTP/1.1\r\n' + HEAD + b'X: a\r\n' * 50000 + b'\r\n', {431}),
    ('unknown method', b'FROB /healthz HTTP/1.1\r\n' + HEAD + b'\r\n', {400, 405, 501}),
    ('version 2.7', b'GET /healthz HTTP/2.7\r\n' + HEAD + b'\r\n', {400, 505}),
    ('deep JSON', posted(b'[' * 200000), {400}),
    ('deep JSON that closes', posted(b'{"type":"echo","args":' + b'[' * 30000 + b']' * 30000 + b'}'),
     {400}),
    ('deep objects', posted(b'{"type":"echo","args":' + b'[{"a":' * 66666), {400}),
    ('not UTF-8', posted(b'{"type":"echo","args":["\xff\xfe"]}'), {400}),
    ('NUL in a name', posted(b'{"type":"ec\0ho","args":[]}'), {400}),
    ('empty body', JOBS + JSON + b'Content-Length: 0\r\n\r\n', {400}),
]


def check_shapes(port):
    wrong = []
    for name, data, statuses in SHAPES:
        answer = exchange(port, data)
        status = status_of(answer)
        if status not in statuses:
            wrong.append('%s: expected %s, got %s %r'
                         % (name, sorted(statuses), status, answer[:80]))
        health(port)
    if wrong:
        sys.exit('\n'.join(wrong))


def check_chunks_of_a_gibibyte(port):
    """A body without a length that never ends is cut off at the limit."""
    piece = b'10000\r\n' + b'x' * 65536 + b'\r\n'
    sent = 0
    with connect(port) as sock:
        try:
            sock.sendall(JOBS + JSON + b'Transfer-Encoding: chunked\r\n\r\n')
            while sent < 1 << 30:
                sock.sendall(piece)
                sent += len(piece)
                if is_readable(sock, 0):
                    break
        except OSError:
            pass
        answer = read_all(sock)
    if sent >= 1 << 30:
        sys.exit('a gibibyte was read without a word')
    if status_of(answer) not in (413, None):
        sys.exit('expected 413, got %r' % answer[:80])


def check_pipelining(port):
    one = b'GET /ojs/v1/health HTTP/1.1\r\n' + HEAD + b'X-Request-Id: n%03d\r\n\r\n'
    last = b'GET /ojs/v1/health HTTP/1.1\r\n' + HEAD + b'X-Request-Id: last\r\nConnection: close\r\n\r\n'
    answer = exchange(port, b''.join(one % i for i in range(64)) + last, 60, 60).lower()
    order = [answer.find(b'x-request-id: n%03d' % i) for i in range(64)]
    order.append(answer.find(b'x-request-id: last'))
    if -1 in order or order != sorted(order):
        sys.exit('64 pipelined requests were not answered in order')


def check_random(port):
    source = random.Random(20260212)
    for _ in range(300):
        data = bytes(source.randrange(256) for _ in range(source.randrange(1, 400)))
        if source.random() < 0.5:
            data = b'POST /ojs/v1/jobs HTTP/1.1\r\n' + data
        with connect(port) as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                read_all(sock, 5)
            except OSError:
                pass
    health(port)


def check_slow_loris(port):
    """Connections that never finish a request are closed; others are served meanwhile."""
    socks = [connect(port) for _ in range(200)]
    for sock in socks:
        sock.sendall(b'GET /healthz HTTP/1.1\r\nHost: x\r\n')
    deadline = time.monotonic() + 90
    alive = set(socks)
    while alive and time.monotonic() < deadline:
        for sock in list(alive):
            try:
                sock.sendall(b'X')
                if is_readable(sock, 0):
                    alive.discard(sock)          # an answer (408) or the end
            except OSError:
                alive.discard(sock)
        if health(port) > 5:
            sys.exit('health took over 5 s beside slow clients')
        time.sleep(0.5)
    if alive:
        sys.exit('%d of 200 connections that send a byte at a time are still open' % len(alive))


def overhead(pid):
    """How much more memory a sanitized build takes for the same."""
    with open('/proc/%d/maps' % pid, encoding='utf-8', errors='replace') as file:
        maps = file.read()
    return 8 if 'libasan' in maps or 'libtsan' in maps else 1


def rss_kib(pid):
    with open('/proc/%d/status' % pid, encoding='ascii') as file:
        return int(next(line.split()[1] for line in file if line.startswith('VmRSS')))


def check_idle(port, argument):
    """Thousands of idle connections: served beside them, memory stays in proportion."""
    pid, count = (int(word) for word in argument.split(','))
    before = rss_kib(pid)
    socks = []
    refused = 0
    for i in range(count):
        try:
            sock = connect(port)
            if i % 2:
                sock.sendall(b'GET /ojs/v1/health HTTP/1.1\r\n' + HEAD + b'\r\n')
            socks.append(sock)
        except OSError:
            refused += 1
        if i % 1000 == 999 and health(port) > 5:
            sys.exit('health took over 5 s beside %d connections' % i)
    took = health(port)
    grown = rss_kib(pid) - before
    print('  %d idle connections (%d refused): health in %.1f ms, %.1f KiB each'
          % (len(socks), refused, took * 1000, grown / max(1, len(socks))))
    if took > 5:
        sys.exit('health took %.1f s' % took)
    if grown > (64 * count + 65536) * overhead(pid):
        sys.exit('%d connections made the engine grow by %d KiB' % (count, grown))
    for sock in socks:
        sock.close()
    health(port)


def check_many_large(port, argument):
    """A crowd that announces large bodies and sends them slowly does not make the engine grow."""
    pid = int(argument)
    before = rss_kib(pid)
    socks = []
    for _ in range(200):
        sock = connect(port)
        sock.sendall(JOBS + JSON + b'Content-Length: 1000000\r\n\r\n{"type":"')
        socks.append(sock)
    health(port)
    grown = rss_kib(pid) - before
    if grown > (64 << 10) * overhead(pid):
        sys.exit('200 announced bodies made the engine grow by %d KiB' % grown)
    for sock in socks:
        sock.close()


def main():
    port, check = int(sys.argv[1]), sys.argv[2]
    function = globals()['check_' + check]
    function(port, *sys.argv[3:])
    return 0


if __name__ == '__main__':
    os.environ['PYTHONDONTWRITEBYTECODE'] = '1'
    sys.exit(main())
