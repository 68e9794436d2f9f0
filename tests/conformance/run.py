#!/usr/bin/python3
"""Run Open Job Spec conformance cases against a server over HTTP.

    run.py --url http://127.0.0.1:7584 CASES_DIR [--level 0,1,2/delay] [--only NAME] [--jobs N]

A case is one JSON file: a list of steps, each an HTTP request with assertions on its answer
(see CASES_DIR's own README).  Cases say nothing of each other, yet many of them use the same
queue names, and most of their time is spent waiting for delays.  So they run side by side, and
the runner gives each case queues of its own: every queue name that a case pushes to is renamed
for this run, in bodies, paths, queries and in the assertions that name it.  A case that pushes
without naming a queue means the queue `default` itself; if it also fetches from there it cannot
share that queue with anybody.  Such cases run first, one at a time, on a drained queue.

Each failing case costs one line: its name, the step, what was expected and what came.  The last
line is `N passed, N failed`.  An assertion this runner does not know is a failure, never a pass.
The runner is checked by selftest.py beside it.
"""

import argparse
import concurrent.futures
import copy
import glob
import http.client
import json
import os
import re
import sys
import threading
import time
import urllib.parse

MEDIA_TYPE = 'application/openjobspec+json'
HTTP_TIMEOUT_S = 30
DEFAULT_QUEUE = 'default'
TEMPLATE = re.compile(r'\{\{steps\.([^.{}]+)\.response\.body(?:\.([^{}]+))?\}\}')
UUID = r'[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-%s[0-9a-f]{3}-[0-9a-f]{12}'
ABSENT = object()      # a path that leads to nothing; unlike None, which is JSON's null


class CaseError(Exception):
    """The case asks for something that this runner does not understand."""


class Mismatch(Exception):
    """An assertion does not hold."""


def show(value):
    """A value as short text for a failure line."""
    if value is ABSENT:
        return 'nothing'
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else text[:157] + '...'


# --- paths into JSON ---------------------------------------------------------------------------

STEP = re.compile(r'''\.?([A-Za-z0-9_$-]+)|\[(\d+)\]|(\[\*\])|\[\?\(@\.(\w+)==['"]?(.*?)['"]?\)\]''')


def resolve(path, value):
    """The value at `path` ($.a.b[0], [*], [?(@.id=='x')]), or ABSENT."""
    if path.startswith('$'):
        path = path[1:]
    at = 0
    while at < len(path):
        found = STEP.match(path, at)
        if not found:
            raise CaseError('path %r is not understood' % path)
        at = found.end()
        key, index, star, filter_key, filter_value = found.groups()
        if key is not None:
            value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
        elif index is not None:
            has_it = isinstance(value, list) and int(index) < len(value)
            value = value[int(index)] if has_it else ABSENT
        elif star is not None:
            if not isinstance(value, list):
                return ABSENT
            rest = [resolve(path[at:], item) for item in value]
            return [item for item in rest if item is not ABSENT]
        else:
            items = value if isinstance(value, list) else []
            value = next((item for item in items if isinstance(item, dict)
                          and filter_key in item and str(item[filter_key]) == filter_value), ABSENT)
        if value is ABSENT:
            return ABSENT
    return value


# --- matchers ----------------------------------------------------------------------------------

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def json_type(value):
    if isinstance(value, bool):
        return 'boolean'
    for kind, name in ((str, 'string'), (list, 'array'), (dict, 'object')):
        if isinstance(value, kind):
            return name
    return 'number' if is_number(value) else 'null'


def need(holds, expected, actual):
    if not holds:
        raise Mismatch('expected %s, got %s' % (expected, show(actual)))


STRING_FORMS = {
    'string:uuid': '^' + UUID % ('[0-9a-f]', '[0-9a-f]') + '$',
    'string:uuidv7': '^' + UUID % ('7', '[89ab]') + '$',
    'string:datetime': r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$',
    'string:nonempty': r'(?s)^.',
    'string:non_empty': r'(?s)^.',
}


def match_array(word, actual):
    """array:nonempty, array:empty, array:length:N, array:length(N), array:min:N, ..."""
    is_array = isinstance(actual, list)
    sized = re.match(r'^array:(length|min|min_length)[:(](\d+)\)?$', word)
    if word == 'array:nonempty':
        need(is_array and actual, 'a non-empty array', actual)
    elif word == 'array:empty':
        need(is_array and not actual, 'an empty array', actual)
    elif sized and sized.group(1) == 'length':
        need(is_array and len(actual) == int(sized.group(2)),
             'an array of ' + sized.group(2), actual)
    elif sized:
        need(is_array and len(actual) >= int(sized.group(2)),
             'an array of at least ' + sized.group(2), actual)
    else:
        raise CaseError('matcher %r is not understood' % word)


def match_number(word, actual):
    """number:positive, number:non_negative, number:range(a,b)"""
    bounds = re.match(r'^number:range\((-?[\d.]+),\s*(-?[\d.]+)\)$', word)
    if word == 'number:positive':
        need(is_number(actual) and actual > 0, 'a positive number', actual)
    elif word == 'number:non_negative':
        need(is_number(actual) and actual >= 0, 'a number of 0 or more', actual)
    elif bounds:
        need(is_number(actual) and float(bounds.group(1)) <= actual <= float(bounds.group(2)),
             word, actual)
    else:
        raise CaseError('matcher %r is not understood' % word)


def match_word(word, actual):
    """A string in the place of a value: a matcher by name, or a literal."""
    if word == 'any':
        need(actual is not ABSENT, 'any value', actual)
    elif word == 'absent':
        need(actual is ABSENT, 'nothing', actual)
    elif word == 'exists':
        need(actual is not ABSENT and actual is not None, 'a value', actual)
    elif word in STRING_FORMS:
        need(isinstance(actual, str) and re.search(STRING_FORMS[word], actual), word, actual)
    elif word.startswith('string:contains:'):
        need(isinstance(actual, str) and word[16:] in actual, word, actual)
    elif word.startswith('string:pattern(') and word.endswith(')'):
        need(isinstance(actual, str) and re.search(word[15:-1], actual), word, actual)
    elif word.startswith('contains:'):
        need(isinstance(actual, list) and word[9:] in map(str, actual), word, actual)
    elif word.startswith('not_contains:'):
        need(isinstance(actual, list) and word[13:] not in map(str, actual), word, actual)
    elif word.startswith('one_of:'):
        need(str(actual) in [w.strip() for w in word[7:].split(',')], word, actual)
    elif re.match(r'^~\d+(\.\d+)?$', word):
        about = float(word[1:])
        need(is_number(actual) and abs(actual - about) <= about / 2, word, actual)
    elif word.startswith('number:'):
        match_number(word, actual)
    elif word.startswith('array:'):
        match_array(word, actual)
    elif word.startswith('string:'):
        raise CaseError('matcher %r is not understood' % word)
    else:
        need(isinstance(actual, str) and actual == word, show(word), actual)


def match_size(size, actual):
    need(isinstance(actual, list), 'an array', actual)
    if isinstance(size, int):
        need(len(actual) == size, 'an array of %d' % size, actual)
        return
    for key, bound in size.items():
        holds = {'$gte': len(actual) >= bound, '$gt': len(actual) > bound,
                 '$lte': len(actual) <= bound, '$lt': len(actual) < bound}.get(key)
        if holds is None:
            raise CaseError('$size with %r is not understood' % key)
        need(holds, 'an array whose size is %s %d' % (key, bound), actual)


def match_operators(wanted, actual):
    for key, operand in wanted.items():
        if key == '$exists':
            is_there = actual is not ABSENT and actual is not None
            need(is_there == operand, 'a value' if operand else 'nothing', actual)
        elif key == '$type':
            need(actual is ABSENT or json_type(actual) == operand, 'type ' + operand, actual)
        elif key == '$match':
            need(isinstance(actual, str) and re.search(operand, actual), operand, actual)
        elif key == '$in':
            need(any(matches(item, actual) for item in operand), 'one of ' + show(operand), actual)
        elif key == '$or':
            need(any(matches(item, actual) for item in operand), 'one of ' + show(operand), actual)
        elif key == '$size':
            match_size(operand, actual)
        elif key == 'range':
            low, high = operand.get('min', float('-inf')), operand.get('max', float('inf'))
            need(is_number(actual) and low <= actual <= high, 'a number in ' + show(operand), actual)
        else:
            raise CaseError('operator %r is not understood' % key)


def match(wanted, actual):
    """Raise Mismatch unless `actual` is what `wanted` describes."""
    if isinstance(wanted, str):
        match_word(wanted, actual)
    elif isinstance(wanted, bool) or wanted is None:
        need(actual is wanted, show(wanted), actual)
    elif is_number(wanted):
        need(is_number(actual) and abs(actual - wanted) < 1e-9, show(wanted), actual)
    elif isinstance(wanted, list):
        need(isinstance(actual, list) and len(actual) == len(wanted), show(wanted), actual)
        for one, other in zip(wanted, actual):
            match(one, other)
    elif any(key.startswith('$') or key == 'range' for key in wanted):
        match_operators(wanted, actual)
    else:
        need(isinstance(actual, dict), 'an object', actual)
        for key, inner in wanted.items():
            match(inner, actual.get(key, ABSENT))


def matches(wanted, actual):
    try:
        match(wanted, actual)
        return True
    except Mismatch:
        return False


# --- one answer against its assertions -----------------------------------------------------------

class Answer:
    """What came back: status, headers (lower-case names), raw bytes, parsed body or ABSENT."""

    def __init__(self, status, headers, raw, took_ms):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.raw = raw
        self.took_ms = took_ms
        self.body = ABSENT
        if raw:
            try:
                self.body = json.loads(raw)
            except ValueError:
                pass


def check_alternative(alternative, answer):
    """One branch of a body's $or: {path: matcher, ...} or {"$empty": true}."""
    for path, wanted in alternative.items():
        if path == '$empty':
            need(bool(wanted) == (not answer.raw), 'an empty body', answer.body)
        else:
            match(wanted, resolve(path, answer.body))


def check_body(wanted_body, answer):
    for path, wanted in wanted_body.items():
        if path == '$or':
            for alternative in wanted:
                try:
                    check_alternative(alternative, answer)
                    break
                except Mismatch:
                    continue
            else:
                raise Mismatch('no branch of $or holds for %s' % show(answer.body))
        elif path == '$empty':
            need(bool(wanted) == (not answer.raw), 'an empty body', answer.body)
        else:
            try:
                match(wanted, resolve(path, answer.body))
            except Mismatch as mismatch:
                raise Mismatch('%s: %s' % (path, mismatch)) from None


def check_timing(wanted, answer):
    for key, bound in wanted.items():
        if key == 'less_than':
            need(answer.took_ms < bound, 'under %d ms' % bound, answer.took_ms)
        elif key == 'greater_than':
            need(answer.took_ms > bound, 'over %d ms' % bound, answer.took_ms)
        elif key == 'approximate':
            need(abs(answer.took_ms - bound) <= max(bound / 2, 100), '~%d ms' % bound,
                 answer.took_ms)
        else:
            raise CaseError('timing %r is not understood' % key)


def check_answer(assertions, answer):
    for key, wanted in assertions.items():
        if key == 'status':
            try:
                match(wanted, answer.status)
            except Mismatch as mismatch:
                raise Mismatch('status: %s %s' % (mismatch, show(answer.body))) from None
        elif key == 'status_in':
            need(answer.status in wanted, 'status in ' + show(wanted), answer.status)
        elif key == 'headers':
            for name, value in wanted.items():
                actual = answer.headers.get(name.lower(), ABSENT)
                try:
                    match(value, actual)
                except Mismatch as mismatch:
                    raise Mismatch('header %s: %s' % (name, mismatch)) from None
        elif key == 'body':
            check_body(wanted, answer)
        elif key == 'body_absent':
            for path in wanted:
                need(resolve(path, answer.body) is ABSENT, path + ' absent', answer.body)
        elif key == 'body_contains':
            for text in wanted:
                need(text.encode() in answer.raw, 'a body with ' + text, answer.body)
        elif key == 'timing_ms':
            check_timing(wanted, answer)
        else:
            raise CaseError('assertion %r is not understood' % key)


# --- cases -----------------------------------------------------------------------------------------

def steps_of(part):
    if part is None:
        return []
    return part.get('steps', []) if isinstance(part, dict) else part


class Case:
    def __init__(self, path, root):
        with open(path, encoding='utf-8') as file:
            self.data = json.load(file)
        self.path = os.path.relpath(path, root)
        self.name = self.data.get('name', self.path)
        self.test_id = self.data.get('test_id', '?')
        self.category = self.data.get('category', '')
        level = re.search(r'level-(\d+)', self.path)
        self.level = int(level.group(1)) if level else self.data.get('level')
        self.phases = [steps_of(self.data.get('setup')), steps_of(self.data.get('steps')),
                       steps_of(self.data.get('teardown'))]

    def all_steps(self):
        return [step for phase in self.phases for step in phase]

    def queues(self):
        """Queue names that this case pushes to or names, and whether it leaves one unnamed."""
        names, has_unnamed = set(), False
        for step in self.all_steps():
            body = step.get('body')
            if not isinstance(body, dict):
                continue
            names.update(queue for queue in body.get('queues', []) if isinstance(queue, str))
            for job in jobs_in(body):
                options = job.get('options')
                options = options if isinstance(options, dict) else {}
                queue = options.get('queue', job.get('queue'))
                if isinstance(queue, str):
                    names.add(queue)
                else:
                    has_unnamed = True
            names.update(re.findall(r'/queues/([^/?]+)', step.get('path', '')))
        return names, has_unnamed

    def needs_default_alone(self):
        """It pushes to the queue named nowhere and fetches from it."""
        _, has_unnamed = self.queues()
        return has_unnamed and any(
            isinstance(step.get('body'), dict) and DEFAULT_QUEUE in step['body'].get('queues', [])
            for step in self.all_steps())

    def wait_ms(self):
        return sum(step.get('delay_ms', 0) + step.get('duration_ms', 0)
                   for step in self.all_steps())

    def rename_queues(self, suffix):
        names, has_unnamed = self.queues()
        if has_unnamed:
            names.discard(DEFAULT_QUEUE)
        valid = re.compile(r'^[a-z0-9][a-z0-9.-]{0,100}$')
        new_name = {name: name + suffix for name in names if valid.match(name)}
        for phase in self.phases:
            for step in phase:
                rename_in_step(step, new_name)


def jobs_in(body):
    """The job requests in a body, however deep: a job, a batch, a cron entry, a workflow."""
    if isinstance(body, list):
        return [job for item in body for job in jobs_in(item)]
    if not isinstance(body, dict):
        return []
    if 'args' in body or 'type' in body and 'options' in body:
        return [body]
    return [job for key, item in body.items() if key not in ('error', 'result', 'meta')
            for job in jobs_in(item)]


def rename_value(value, new_name):
    return new_name.get(value, value) if isinstance(value, str) else value


def rename_in_body(value, new_name):
    if isinstance(value, list):
        return [rename_in_body(item, new_name) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {}
    for key, item in value.items():
        if key == 'queue' and isinstance(item, str):
            renamed[key] = rename_value(item, new_name)
        elif key == 'queues' and isinstance(item, list):
            renamed[key] = [rename_value(name, new_name) for name in item]
        elif key in ('args', 'meta', 'result'):
            renamed[key] = item
        else:
            renamed[key] = rename_in_body(item, new_name)
    return renamed


def rename_in_step(step, new_name):
    step['body'] = rename_in_body(step.get('body'), new_name)
    path = step.get('path', '')
    path = re.sub(r'(/queues/)([^/?]+)', lambda m: m[1] + new_name.get(m[2], m[2]), path)
    path = re.sub(r'([?&]queues?=)([^&]+)',
                  lambda m: m[1] + ','.join(new_name.get(n, n) for n in m[2].split(',')), path)
    step['path'] = path
    body = (step.get('assertions') or {}).get('body') or {}
    for where, wanted in body.items():
        if re.search(r'(\.queue|queue\.name)$', where):
            body[where] = rename_value(wanted, new_name)


class Fetcher:
    """One keep-alive connection; a fresh one after any trouble."""

    def __init__(self, url):
        parts = urllib.parse.urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.connection = None

    def send(self, method, path, headers, body):
        for attempt in (1, 2):
            is_fresh = self.connection is None
            if is_fresh:
                self.connection = http.client.HTTPConnection(self.host, self.port,
                                                             timeout=HTTP_TIMEOUT_S)
            began = time.monotonic()
            try:
                self.connection.request(method, path, body=body, headers=headers)
                answer = self.connection.getresponse()
                raw = answer.read()
                return Answer(answer.status, answer.getheaders(), raw,
                              (time.monotonic() - began) * 1000)
            except (http.client.HTTPException, OSError) as trouble:
                self.close()
                # Only a kept connection that the server closed meanwhile may be tried again.
                retry = (not is_fresh and attempt == 1 and
                         isinstance(trouble, (http.client.RemoteDisconnected, BrokenPipeError,
                                              ConnectionResetError)))
                if not retry:
                    raise Mismatch('%s %s: no answer: %s' % (method, path, trouble)) from None
        raise AssertionError('not reached')

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Run:
    """One case on its way: the answers so far and the connection."""

    def __init__(self, case, url):
        self.case = case
        self.url = url
        self.fetcher = Fetcher(url)
        self.answers = {}

    def lookup(self, step_id, path):
        answer = self.answers.get(step_id)
        if answer is None:
            raise CaseError('no answer of step %r to refer to' % step_id)
        value = resolve('$.' + path, answer.body) if path else answer.body
        if value is ABSENT:
            raise Mismatch('step %s answered without %s: %s'
                           % (step_id, path or 'a body', show(answer.body)))
        return value

    def fill(self, value):
        """Replace {{steps.ID.response.body.PATH}} in every string, as text."""
        if isinstance(value, str):
            def text(found):
                filled = self.lookup(found.group(1), found.group(2))
                return filled if isinstance(filled, str) else json.dumps(filled)
            return TEMPLATE.sub(text, value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {self.fill(key): self.fill(item) for key, item in value.items()}
        return value

    def raw(self, reference):
        """A reference in an ASSERT step, as the JSON value it stands for."""
        if isinstance(reference, str):
            whole = TEMPLATE.fullmatch(reference) or re.fullmatch(
                r'\$\.steps\.([^.]+)\.response\.body(?:\.(.+))?', reference)
            if whole:
                return self.lookup(whole.group(1), whole.group(2))
        return reference

    def assert_step(self, assertions):
        for key, wanted in assertions.items():
            if key == 'exclusive_claim':
                job_id = self.raw(wanted['job_id'])
                lists = [self.raw(reference) for reference in wanted['fetches']]
                holders = [jobs for jobs in lists if any(job['id'] == job_id for job in jobs)]
                empty = [jobs for jobs in lists if not jobs]
                if wanted.get('exactly_one_has_job'):
                    need(len(holders) == 1, 'one fetch with the job', [len(j) for j in lists])
                if wanted.get('exactly_one_empty'):
                    need(len(empty) == 1, 'one empty fetch', [len(j) for j in lists])
            elif key == 'equality':
                for left, right in wanted.items():
                    need(self.raw(left) == self.raw(right), show(self.raw(right)), self.raw(left))
            else:
                raise CaseError('assertion %r is not understood' % key)

    def step(self, step, fetcher=None):
        time.sleep(step.get('delay_ms', 0) / 1000)
        action = step['action'].upper()
        if action == 'WAIT':
            time.sleep(step.get('duration_ms', 0) / 1000)
            return
        if action == 'ASSERT':
            self.assert_step(step.get('assertions') or {})
            return
        headers = dict(step.get('headers') or {})
        body = None
        if step.get('raw_body') is not None:
            body = step['raw_body'].encode()
        elif step.get('body') is not None:
            body = json.dumps(self.fill(step['body'])).encode()
        if body is not None and not any(name.lower() == 'content-type' for name in headers):
            headers['Content-Type'] = MEDIA_TYPE
        answer = (fetcher or self.fetcher).send(action, self.fill(step['path']), headers, body)
        self.answers[step['id']] = answer
        check_answer(self.fill(step.get('assertions') or {}), answer)

    def together(self, group):
        """Steps linked by parallel_with, at the same time, a connection each."""
        barrier = threading.Barrier(len(group))

        def one(step):
            fetcher = Fetcher(self.url)
            try:
                barrier.wait(HTTP_TIMEOUT_S)
                self.step(step, fetcher)
            finally:
                fetcher.close()

        with concurrent.futures.ThreadPoolExecutor(len(group)) as pool:
            for future in [pool.submit(one, step) for step in group]:
                future.result()

    def phase(self, steps):
        at = 0
        while at < len(steps):
            group = [steps[at]]
            if steps[at].get('parallel_with'):
                ids = {steps[at]['id'], steps[at]['parallel_with']}
                while at + len(group) < len(steps) and (
                        steps[at + len(group)].get('parallel_with') in ids):
                    ids.add(steps[at + len(group)]['id'])
                    group.append(steps[at + len(group)])
            try:
                if len(group) > 1:
                    self.together(group)
                else:
                    self.step(group[0])
            except (Mismatch, CaseError) as trouble:
                ids = '+'.join(step['id'] for step in group)
                raise type(trouble)('%s: %s' % (ids, trouble)) from None
            at += len(group)

    def go(self):
        """None when the case passes, else a sentence."""
        setup, steps, teardown = self.case.phases
        try:
            self.phase(setup)
            self.phase(steps)
            return None
        except Mismatch as mismatch:
            return str(mismatch)
        except CaseError as error:
            return 'the runner cannot run this case: %s' % error
        finally:
            try:
                self.phase(teardown)
            except (Mismatch, CaseError):
                pass                      # teardown only tidies up
            self.fetcher.close()


def drain(url):
    """Claim whatever waits in the queue `default`, so that the next fetch sees only what comes."""
    fetcher = Fetcher(url)
    body = json.dumps({'queues': [DEFAULT_QUEUE], 'count': 100, 'worker_id': 'drain'}).encode()
    for _ in range(1000):
        answer = fetcher.send('POST', '/ojs/v1/workers/fetch', {'Content-Type': MEDIA_TYPE}, body)
        if answer.status != 200 or resolve('$.jobs[0]', answer.body) is ABSENT:
            break
    fetcher.close()


# --- choosing and running ------------------------------------------------------------------------

def wanted_by(levels, only, case):
    if only and only not in (case.name, case.test_id) and only not in case.path:
        return False
    if not levels:
        return True
    return any(str(case.level) == level.split('/')[0] and
               ('/' not in level or case.category == level.split('/')[1] or
                '/%s/' % level.split('/')[1] in '/' + case.path)
               for level in levels)


def load(root, levels=None, only=None):
    paths = [root] if os.path.isfile(root) else glob.glob(os.path.join(root, '**', '*.json'),
                                                          recursive=True)
    cases = [Case(path, os.path.dirname(root) if os.path.isfile(root) else root)
             for path in sorted(paths)]
    return [case for case in cases if case.data.get('steps') and wanted_by(levels, only, case)]


def run_cases(cases, url, jobs, report=print, verbose=False):
    """Run all; returns (passed, failed)."""
    passed = failed = 0
    run_id = '-r%x' % (time.time_ns() // 1000000 & 0xffffffff)
    alone = [case for case in cases if case.needs_default_alone()]
    shared = sorted((case for case in cases if case not in alone),
                    key=lambda case: -case.wait_ms())
    for number, case in enumerate(cases):
        case.phases = copy.deepcopy(case.phases)
        case.rename_queues('%s-%d' % (run_id, number))

    def outcome(case, trouble):
        nonlocal passed, failed
        if trouble is None:
            passed += 1
            if verbose:
                report('ok   %s %s' % (case.test_id, case.name))
        else:
            failed += 1
            report('FAIL %s %s (%s): %s' % (case.test_id, case.name, case.path, trouble))

    for case in alone:
        try:
            drain(url)
            outcome(case, Run(case, url).go())
        except Mismatch as trouble:
            outcome(case, str(trouble))
    with concurrent.futures.ThreadPoolExecutor(max(1, jobs)) as pool:
        futures = {pool.submit(Run(case, url).go): case for case in shared}
        for future in concurrent.futures.as_completed(futures):
            outcome(futures[future], future.result())
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description='Run Open Job Spec conformance cases.')
    parser.add_argument('--url', required=True, help='the server, as http://HOST:PORT')
    parser.add_argument('--level', help='levels to run, as 0,1,2/delay (default: all)')
    parser.add_argument('--only', help='one case: its name, test id or part of its path')
    parser.add_argument('--jobs', type=int, default=24, help='cases at a time (default 24)')
    parser.add_argument('--verbose', action='store_true', help='a line for each passing case too')
    parser.add_argument('cases', help='folder with the cases, or one case')
    options = parser.parse_args()

    levels = options.level.split(',') if options.level else None
    cases = load(options.cases, levels, options.only)
    if not cases:
        print('no case in %s fits' % options.cases, file=sys.stderr)
        return 2
    passed, failed = run_cases(cases, options.url, options.jobs, verbose=options.verbose)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
