-- push: new jobs. Several pushes in one call, each all or none by itself.
--
-- ARGV  8 "1": ids may stand twice, so the pushes are done one by one
--       9 how many pushes; then for each:
--         key     "PRINT TTL KEY" or empty
--         n       number of jobs, and behind a space the index of one whose id stood before in it
--         then for each job:
--           head  "STATE QUEUE PRIORITY FLAGS WHEN"
--           id
--           tail  what stands behind the line number: " ENQUEUED CREATED …", sections
--
-- Reply  ms, outcomes, then for each push whose key was known a list: id, text, id, text …
--        Outcomes, one word for each push: NUMBER place in line of its first job (0: in none);
--        dI job I exists already; tI job I has the id of an earlier one; k the key is known with
--        another print; x it is known; bI there are too many queues.
--
-- The usual case, pushes without keys and with ids that nobody has, is one MSETNX for all of them.

local push_ops -- { { key =, n =, twin =, at = }, … }

local function push_read(args)
    local ops, at = {}, 10
    for i = 1, tonumber(args[9]) do
        local n, twin = match(args[at + 1], '^(%d+) ?(%d*)$')
        ops[i] = { key = args[at], n = tonumber(n), twin = tonumber(twin), at = at + 2 }
        at = at + 2 + 3 * ops[i].n
    end
    return ops
end

-- The lines and counts of a run of jobs, while it is put together.
local function push_event(state, queue, priority, id, tail, when)
    events[#events + 1] = concat({ 'new', state, id, queue, encode(type_of(tail)), priority, '0',
        match(tail, '^ %S+ %S+ (%S+)') or '0', 'none', '0', when }, ' ')
end

-- Add the jobs of pushes FROM to TO. False, and nothing done, when an id exists or a queue cannot be
-- made; then the second result says which of the two. Sets op.line.
local function push_add(args, ops, from, to)
    local job = P .. 'job:'
    local last, state, queue, priority, when, front, line, ids, numbered
    local n_ids, high, low, pushed, new_jobs = 0, '', 0, {}, 0
    for i = from, to do
        local op = ops[i]
        local at = op.at
        op.line = 0
        for j = 1, op.n do
            local head, id, tail = args[at], args[at + 1], args[at + 2]
            at = at + 3
            if head ~= last then
                if line then
                    line.next = numbered + n_ids - line.before
                end
                last = head
                local flags
                state, queue, priority, flags, when =
                    match(head, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
                front = concat({ state, state == 'scheduled' and when or '0', '0', flags, '-', queue,
                                 '0 0 0 0 0 ' }, ' ')
                line = nil
                if state == 'available' then
                    line = line_of(queue, priority)
                    ids = line.ids
                    n_ids = #ids
                    line.before = n_ids
                    numbered = line.next
                    high, low = floor(numbered / 100), numbered % 100
                    high = high > 0 and text_of(high) or ''
                end
                if not pushed[queue] then
                    if not queue_make(queue) then
                        return false, 'b'
                    end
                    pushed[queue] = 0
                end
            end
            local text
            if line then
                n_ids = n_ids + 1
                ids[n_ids] = id
                if j == 1 then
                    op.line = numbered + n_ids - line.before - 1
                end
                text = front .. high .. (high == '' and low or TWO[low]) .. tail
                low = low + 1
                if low == 100 then
                    high, low = text_of((high == '' and 0 or high) + 1), 0
                end
            else
                text = front .. '0' .. tail
                local key = P .. state .. ':' .. queue
                add(key, when, id)
                if state == 'scheduled' then
                    note_due(state, queue, when)
                end
            end
            pushed[queue] = pushed[queue] + 1
            new_jobs = new_jobs + 1
            sets[n_sets + 1] = job .. id
            sets[n_sets + 2] = text
            n_sets = n_sets + 2
            if events then
                push_event(state, queue, priority, id, tail, when)
            end
        end
    end
    if line then
        line.next = numbered + n_ids - line.before
    end
    if n_sets <= LIMIT_REDIS_ARGS then
        if n_sets > 0 and redis.call('MSETNX', unpack(sets, 1, n_sets)) == 0 then
            return false, 'd'
        end
        sets, n_sets = {}, 0
    else
        for i = 1, n_sets, 2 do
            if redis.call('EXISTS', sets[i]) == 1 then
                return false, 'd'
            end
        end
    end
    for name, n in pairs(pushed) do
        redis.call('HINCRBY', P .. 'queues', name, n)
    end
    writes_end()
    lines_end()
    return true
end

-- Forget what was put together; of the events all but the first N, which are of pushes before.
local function push_undo(n)
    writes_begin()
    lines_begin()
    for i = n + 1, events and #events or 0 do
        events[i] = nil
    end
end

-- Which job of OP stands against it.
local function push_find(args, op, why)
    for j = 0, op.n - 1 do
        if why == 'd' and redis.call('EXISTS', P .. 'job:' .. args[op.at + 3 * j + 1]) == 1 then
            return why .. j
        end
        if why == 'b' and redis.call('HEXISTS', P .. 'queues',
                match(args[op.at + 3 * j], '^%S+ (%S+)')) == 0 then
            return why .. j
        end
    end
    return why .. '0'
end

-- The jobs that a known key has made, as far as they are there.
local function push_known(found)
    local keys, list = {}, {}
    for id in gmatch(match(found, ' (.*)$') or '', '%S+') do
        keys[#keys + 1] = P .. 'job:' .. id
        list[#list + 1] = id
    end
    local texts, out = texts_of(keys, #keys), {}
    for i = 1, #keys do
        local f = texts[i] and parse(texts[i])
        if f then
            if f[1] == 'active' then
                f[2] = redis.call('ZSCORE', P .. 'active:' .. f[6], list[i]) or f[2]
            end
            out[#out + 1] = list[i]
            out[#out + 1] = first_line(f) .. sub(texts[i], f.at)
        end
    end
    return out
end

local function push_one(args, ops, i)
    local op = ops[i]
    local print, ttl, key
    if op.key ~= '' then
        print, ttl, key = match(op.key, '^(%d+) (%d+) (.*)$')
        local found = redis.call('GET', P .. 'key:' .. key)
        if found then
            return match(found, '^%d+') == print and 'x' or 'k'
        end
    end
    if op.twin and op.n > 1 then
        for j = 0, op.n - 1 do
            if redis.call('EXISTS', P .. 'job:' .. args[op.at + 3 * j + 1]) == 1 then
                return 'd' .. j
            end
        end
        return 't' .. op.twin
    end
    local n_events = events and #events or 0
    local is_done, why = push_add(args, ops, i, i)
    if not is_done then
        push_undo(n_events)
        return push_find(args, op, why)
    end
    if key then
        local ids = { print }
        for j = 0, op.n - 1 do
            ids[#ids + 1] = args[op.at + 3 * j + 1]
        end
        redis.call('SET', P .. 'key:' .. key, concat(ids, ' '), 'PX', ttl)
    end
    return text_of(op.line)
end

-- @script push: writes numbered
local function push(keys, args)
    local refused, outcomes = begin(keys, args)
    if refused then
        return refused
    end
    local ops, words, known = push_read(args), {}, {}
    writes_begin()
    lines_begin()
    if not outcomes then
        local is_plain = args[8] == ''
        for i = 1, #ops do
            is_plain = is_plain and ops[i].key == '' and not ops[i].twin
        end
        if is_plain and push_add(args, ops, 1, #ops) then
            for i = 1, #ops do
                words[i] = text_of(ops[i].line)
            end
        else
            push_undo(0)
            for i = 1, #ops do
                words[i] = push_one(args, ops, i)
            end
        end
        outcomes = concat(words, ' ')
        remember(outcomes)
        finish()
    end
    if find(outcomes, 'x', 1, true) then
        local i = 0
        for word in gmatch(outcomes, '%S+') do
            i = i + 1
            if word == 'x' then
                local key = match(ops[i].key, '^%d+ %d+ (.*)$')
                known[#known + 1] = push_known(redis.call('GET', P .. 'key:' .. key) or '')
            end
        end
    end
    return { now, outcomes, unpack(known) }
end
