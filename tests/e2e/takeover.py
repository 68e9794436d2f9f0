#!/usr/bin/python3
"""Clients that do not stop while engines are replaced: every request must be answered.

    takeover.py URL STOP-FILE     until STOP-FILE is there; prints what was seen as JSON

Some keep their connection, as HTTP asks them to: a connection that the last answer has closed
(`Connection: close`) is opened anew. Others make one for each request, one waits for jobs with long
requests. An answer that is none, or of another status, is an error. So is a connection that ends
without having said so, but for one case that HTTP allows: an idle connection that the server closes
is no answer refused, so a kept connection is used at least every 100 ms here.
"""
import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

url = urllib.parse.urlsplit(sys.argv[1])
stop_file = sys.argv[2]
lock = threading.Lock()
errors, pushed, counts = [], [], {}


def note(kind, error=None, job=None):
    with lock:
        counts[kind] = counts.get(kind, 0) + 1
        if error:
            errors.append(f"{kind}: {error}")
        if job:
            pushed.append(job)


def connect():
    return http.client.HTTPConnection(url.hostname, url.port, timeout=60)


def ask(connection, method, path, body=None):
    data = json.dumps(body) if body is not None else None
    headers = {"Content-Type": "application/json"} if data else {}
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, text, answer.will_close


def push(connection, kind):
    status, text, will_close = ask(connection, "POST", "/ojs/v1/jobs",
                                   {"type": "echo", "args": [kind]})
    note(kind, None if status == 201 else f"{status} {text[:100]}",
         json.loads(text)["job"]["id"] if status == 201 else None)
    return will_close


def keeper():
    connection = connect()
    while not os.path.exists(stop_file):
        try:
            if push(connection, "kept"):
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            note("kept", repr(error))
            connection.close()
        time.sleep(0.003)


def opener():
    while not os.path.exists(stop_file):
        connection = connect()
        try:
            push(connection, "new")
        except (OSError, http.client.HTTPException) as error:
            note("new", repr(error))
        connection.close()
        time.sleep(0.002)


def waiter():
    """Long requests: for a job that never comes, and for one that ends late."""
    connection = connect()
    while not os.path.exists(stop_file):
        try:
            status, text, will_close = ask(connection, "POST", "/ojs/v1/workers/fetch",
                                           {"queues": ["nobody"], "wait": "2s"})
            note("fetch", None if status == 200 else f"{status} {text[:100]}")
            if will_close:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            note("fetch", repr(error))
            connection.close()


threads = [threading.Thread(target=target) for target in
           [keeper] * 4 + [opener] * 3 + [waiter] * 2]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
json.dump({"errors": errors[:20], "n_errors": len(errors), "pushed": len(set(pushed)), "counts": counts},
          sys.stdout)
