#!/usr/bin/python3
"""Show that run.py passes what is right and fails what is wrong.

Two parts.  The matchers are checked against a table of values that must fit and values that must
not.  Then a small queue server, written here and speaking just enough of the protocol, runs a few
cases: all must pass as it stands, and for each flaw it can be told to have, the case that looks
for it must fail.  A runner that lets everything through cannot pass this.
"""

import http.server
import json
import os
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import run                                                               # noqa: E402

V7 = '019461a8-1a2b-7c3d-8e4f-5a6b7c8d9e0f'
V4 = '550e8400-e29b-41d4-a716-446655440000'
NOTHING = run.ABSENT

# matcher, values that fit, values that do not
MATCHERS = [
    ('any', [1, None, ''], [NOTHING]),
    ('absent', [NOTHING], [None, 0, '']),
    ('exists', [0, '', []], [None, NOTHING]),
    ('string:nonempty', ['a', '\n'], ['', 1, NOTHING]),
    ('string:non_empty', ['a'], ['']),
    ('string:uuid', [V4, V7], ['x', V4.upper(), V4 + '0', NOTHING]),
    ('string:uuidv7', [V7], [V4, V7.upper()]),
    ('string:datetime', ['2026-02-12T10:30:00Z', '2026-02-12T10:30:00.123+02:00'],
     ['2026-02-12T10:30:00', '2026-02-12', 5]),
    ('string:contains:ab', ['xaby'], ['xa', 1]),
    ('string:pattern(^a+$)', ['aa'], ['ab']),
    ('number:positive', [1, 0.5], [0, -1, '1', True]),
    ('number:non_negative', [0, 3], [-1, '0']),
    ('number:range(400,422)', [400, 422, 410.5], [399, 423, '400']),
    ('array:nonempty', [[1]], [[], {}, NOTHING]),
    ('array:empty', [[]], [[1], {}]),
    ('array:length:2', [[1, 2]], [[1], [1, 2, 3], 'ab']),
    ('array:length(0)', [[]], [[1]]),
    ('array:min:1', [[1], [1, 2]], [[]]),
    ('array:min_length:2', [[1, 2]], [[1]]),
    ('contains:a', [['b', 'a']], [['b'], 'a']),
    ('not_contains:a', [['b'], []], [['a'], NOTHING]),
    ('one_of:400,422', [400, 422], [401]),
    ('~1000', [500, 1000, 1500], [499, 1501, '1000']),
    ('plain', ['plain'], ['other', 1, NOTHING]),
    (5, [5, 5.0], [6, '5', True, NOTHING]),
    (True, [True], [1, 'true', False]),
    (None, [None], [NOTHING, 0, False]),
    ([1, 'exists'], [[1, 2]], [[1], [1, None], {}]),
    ({'a': 1, 'b': 'absent'}, [{'a': 1}, {'a': 1, 'c': 2}], [{'a': 2}, {'a': 1, 'b': None}, 1]),
    ({'$exists': True}, [0, ''], [None, NOTHING]),
    ({'$exists': False}, [None, NOTHING], [0]),
    ({'$exists': True, '$type': 'string'}, ['a'], [1, NOTHING]),
    ({'$match': '^a'}, ['ab'], ['ba', 1]),
    ({'$in': ['a', 'b']}, ['a'], ['c']),
    ({'$in': [200, 409]}, [409], [404]),
    ({'$or': [1, 'string:nonempty']}, [1, 'x'], [2, '']),
    ({'$size': 0}, [[]], [[1], NOTHING]),
    ({'$size': {'$gte': 1}}, [[1], [1, 2]], [[]]),
    ({'range': {'min': 1, 'max': 3}}, [1, 2.5, 3], [0, 4, '2']),
]

PATHS = [
    ('$.a.b', {'a': {'b': 1}}, 1),
    ('$.a.c', {'a': {'b': 1}}, NOTHING),
    ('$.a[1].b', {'a': [0, {'b': 2}]}, 2),
    ('$.a[5]', {'a': []}, NOTHING),
    ('$.a[0][1]', {'a': [[1, 2]]}, 2),
    ('$.a[*].n', {'a': [{'n': 'x'}, {}, {'n': 'y'}]}, ['x', 'y']),
    ("$.a[?(@.id=='7')].n", {'a': [{'id': '6', 'n': 1}, {'id': '7', 'n': 2}]}, 2),
    ("$.a[?(@.id=='8')]", {'a': [{'id': '6'}]}, NOTHING),
    ('$.a', 'no object', NOTHING),
]


class Queue:
    """The state of the fake server; `flaw` names one thing it does wrong."""

    def __init__(self, flaw=None):
        self.flaw = flaw
        self.lock = threading.Lock()
        self.jobs = {}
        self.made = 0

    def push(self, body):
        if not isinstance(body, dict) or 'type' not in body:
            status = 500 if self.flaw == 'wrong status' else 400
            return status, {'error': {'code': 'invalid_request', 'message': 'no type'}}
        self.made += 1
        options = body.get('options', {})
        job = {'id': '%s%012x' % (V7[:24], self.made), 'type': body['type'],
               'args': body['args'], 'queue': options.get('queue', 'default'),
               'state': 'available', 'attempt': 0}
        self.jobs[job['id']] = job
        if self.flaw == 'null field':
            job['result'] = None
        return 201, {'job': job}

    def fetch(self, body):
        waiting = [job for job in self.jobs.values() if job['queue'] in body['queues'] and
                   (job['state'] == 'available' or self.flaw == 'double claim')]
        if self.flaw == 'last in first out':
            waiting.reverse()
        taken = waiting[:body.get('count', 1)]
        for job in taken:
            job.update(state='active', attempt=job['attempt'] + 1)
        return 200, {'jobs': taken}

    def ack(self, body):
        job = self.jobs.get(body['job_id'])
        if job is None:
            return 404, {'error': {'code': 'not_found'}}
        if job['state'] != 'active' and self.flaw != 'ack twice':
            return 409, {'error': {'code': 'conflict', 'message': 'not active'}}
        job.update(state='completed', result=body.get('result'))
        return 200, {'id': job['id'], 'state': 'completed'}

    def get(self, job_id):
        job = self.jobs.get(job_id)
        if job is None:
            return 404, {'error': {'code': 'not_found'}}
        if self.flaw == 'read writes':
            job['attempt'] += 1
        return 200, {'job': job}

    def answer(self, method, path, raw):
        with self.lock:
            try:
                body = json.loads(raw) if raw else None
            except ValueError:
                return 400, {'error': {'code': 'invalid_payload'}}
            if (method, path) == ('POST', '/ojs/v1/jobs'):
                return self.push(body)
            if path == '/ojs/v1/workers/fetch':
                return self.fetch(body)
            if path == '/ojs/v1/workers/ack':
                return self.ack(body)
            if method == 'GET' and path.startswith('/ojs/v1/jobs/'):
                return self.get(path.rsplit('/', 1)[1])
            return 404, {'error': {'code': 'not_found'}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def serve(self):
        raw = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        path = urllib.parse.urlsplit(self.path).path
        status, body = self.server.queue.answer(self.command, path, raw)
        text = json.dumps(body).encode()
        media = 'text/plain' if self.server.queue.flaw == 'wrong header' else run.MEDIA_TYPE
        self.send_response(status)
        self.send_header('Content-Type', media)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


def push(step_id, args, queue=None, **more):
    body = {'type': 'self.test', 'args': args}
    if queue:
        body['options'] = {'queue': queue}
    return dict({'id': step_id, 'action': 'POST', 'path': '/ojs/v1/jobs', 'body': body,
                 'assertions': {'status': 201}}, **more)


def fetch(step_id, queue, wanted, **more):
    return dict({'id': step_id, 'action': 'POST', 'path': '/ojs/v1/workers/fetch',
                 'body': {'queues': [queue]},
                 'assertions': {'status': 200, 'body': wanted}}, **more)


def job_of(step_id):
    return '{{steps.%s.response.body.job.id}}' % step_id


CASES = {
    'order': [push('a', [1], 'q'), push('b', [2], 'q'),
              fetch('c', 'q', {'$.jobs[0].id': job_of('a'), '$.jobs[0].queue': 'q'}),
              fetch('d', 'q', {'$.jobs[0].id': job_of('b')}),
              fetch('e', 'q', {'$or': [{'$.jobs': {'$size': 0}}, {'$empty': True}]})],
    'claim': [push('a', [1], 'q'),
              fetch('b', 'q', {}, parallel_with='c'), fetch('c', 'q', {}, parallel_with='b'),
              {'id': 'd', 'action': 'ASSERT', 'assertions': {'exclusive_claim': {
                  'job_id': job_of('a'), 'exactly_one_has_job': True, 'exactly_one_empty': True,
                  'fetches': ['{{steps.b.response.body.jobs}}',
                              '{{steps.c.response.body.jobs}}']}}}],
    'twice': [push('a', [1], 'q'), fetch('b', 'q', {'$.jobs': 'array:length:1'}),
              {'id': 'c', 'action': 'POST', 'path': '/ojs/v1/workers/ack',
               'body': {'job_id': job_of('a'), 'result': {'n': 42}},
               'assertions': {'status': 200, 'body': {'$.id': job_of('a')}}},
              {'id': 'd', 'action': 'POST', 'path': '/ojs/v1/workers/ack',
               'body': {'job_id': job_of('a')}, 'assertions': {'status': 409}},
              {'id': 'e', 'action': 'GET', 'path': '/ojs/v1/jobs/' + job_of('a'),
               'assertions': {'status': 200, 'body': {'$.job.result.n': 42}}}],
    'readonly': [push('a', [1], 'q')] + [
        {'id': i, 'action': 'GET', 'path': '/ojs/v1/jobs/' + job_of('a'),
         'assertions': {'status': 200}} for i in 'bc'] + [
        {'id': 'd', 'action': 'ASSERT', 'assertions': {'equality': {
            '$.steps.b.response.body': '{{steps.c.response.body}}'}}}],
    'refusal': [{'id': 'a', 'action': 'POST', 'path': '/ojs/v1/jobs', 'body': {'args': []},
                 'assertions': {'status': 'number:range(400,422)',
                                'body': {'$.error.code': {'$in': ['invalid_request']}}}},
                {'id': 'b', 'action': 'POST', 'path': '/ojs/v1/jobs', 'raw_body': '{ no json',
                 'assertions': {'status': 400, 'body': {'$.error.code': 'invalid_payload'}}}],
    'default': [push('a', ['mine']), fetch('b', 'default', {'$.jobs[0].args[0]': 'mine',
                                                            '$.jobs[0].queue': 'default'})],
    'header': [push('a', [1], assertions={'status': 201, 'headers': {
        'content-type': {'$match': 'application/(openjobspec\\+)?json'}}})],
    'absence': [push('a', [1], assertions={'status': 201, 'body': {'$.job.result': 'absent'}})],
}

FLAWS = {       # flaw of the server -> the case that must fail because of it
    'last in first out': 'order', 'double claim': 'claim', 'ack twice': 'twice',
    'read writes': 'readonly', 'wrong status': 'refusal', 'wrong header': 'header',
    'null field': 'absence',
}


def case_of(name, steps):
    case = run.Case.__new__(run.Case)
    case.data, case.path, case.name, case.test_id = {}, name, name, 'self'
    case.level, case.category, case.phases = 0, '', [[], steps, []]
    return case


def run_on(queue, cases):
    """Names of the cases that fail on a server with this state."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    server.queue = queue
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    lines = []
    run.run_cases([case_of(name, steps) for name, steps in cases.items()],
                  'http://127.0.0.1:%d' % server.server_port, 8, report=lines.append)
    server.shutdown()
    server.server_close()
    return {line.split()[2]: line for line in lines}


def main():
    passed, failures = 0, []

    def expect(holds, what):
        nonlocal passed
        if holds:
            passed += 1
        else:
            failures.append(what)

    for wanted, fits, does_not in MATCHERS:
        for value in fits:
            expect(run.matches(wanted, value), '%r should match %r' % (wanted, value))
        for value in does_not:
            expect(not run.matches(wanted, value), '%r should not match %r' % (wanted, value))
    for path, value, wanted in PATHS:
        found = run.resolve(path, value)
        expect(found is wanted or found == wanted, 'path %s gave %r' % (path, found))

    failed = run_on(Queue(), CASES)
    for name in CASES:
        expect(name not in failed, 'a right server fails: %s' % failed.get(name))
    for flaw, name in FLAWS.items():
        failed = run_on(Queue(flaw), {name: CASES[name]})
        expect(name in failed, 'case %r passes on a server with the flaw %r' % (name, flaw))

    crowd = Queue()
    crowd.push({'type': 'x', 'args': ['not yours']})
    failed = run_on(crowd, {'default': CASES['default']})
    expect(not failed, 'the default queue was not drained: %s' % failed)

    unknown = [dict(CASES['header'][0], assertions={'no such assertion': 1})]
    expect(run_on(Queue(), {'unknown': unknown}), 'an unknown assertion passes')
    dangling = [dict(CASES['header'][0], path='/ojs/v1/jobs/' + job_of('nowhere'))]
    expect(run_on(Queue(), {'dangling': dangling}), 'a dangling reference passes')

    for failure in failures:
        print('FAIL selftest: ' + failure)
    print('%d passed, %d failed' % (passed, len(failures)))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
