-- import: jobs of another store, put as they are there; and a page of the idempotency keys.
--
-- import
-- ARGV   8 "JOBS KEYS": how many; then for each job:
--          head   "STATE FENCE QUEUE PRIORITY SCORE DEAD": its score in the set of its state; DEAD is
--                 1 for a dead letter
--          id
--          front  the first line up to the number in line
--          tail   what stands behind that number, sections
--        then for each key:
--          "TTL KEY", "PRINT ID ID …"
-- Reply  ms, "" or "b" (there are too many queues), how many jobs were added
--
-- A job that is here with the same fence or a higher one is passed over, an older version of it is
-- replaced; so the call may be repeated, and has no number. A key that is here stays as it is.

-- Take the version F of job ID out of where it is filed.
local function import_unfile(f, id)
    if f[1] == 'available' then
        line_leave(f, id)
    else
        redis.call('ZREM', place(f[1], f.D, f[6]), id)
    end
end

-- One job; whether it was added.
local function import_job(head, id, front, tail)
    local state, fence, queue, priority, score, dead =
        match(head, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
    local text = redis.call('GET', P .. 'job:' .. id)
    local f = text and parse(text)
    if text and (not f or tonumber(f[3]) >= tonumber(fence)) then
        return nil
    end
    if f then
        import_unfile(f, id)
    end
    local line_number = '0'
    if state == 'available' then
        line_number = line_up(queue, priority, id)
    else
        add(place(state, dead == '1', queue), score, id)
        if state == 'scheduled' or state == 'retryable' or state == 'active' then
            note_due(state, queue, score)
        end
    end
    set(P .. 'job:' .. id, front .. line_number .. tail)
    return queue
end

-- @script import: writes
local function import(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local n, n_keys = match(args[8], '^(%d+) (%d+)$')
    local at, added, pushed = 9, 0, {}
    n, n_keys = tonumber(n), tonumber(n_keys)
    for i = 0, n - 1 do
        if not queue_make(match(args[9 + 4 * i], '^%S+ %S+ (%S+)')) then
            return { now, 'b', 0 }
        end
    end
    writes_begin()
    lines_begin()
    for _ = 1, n do
        local queue = import_job(args[at], args[at + 1], args[at + 2], args[at + 3])
        at = at + 4
        if queue then
            added = added + 1
            pushed[queue] = (pushed[queue] or 0) + 1
        end
    end
    for queue, more in pairs(pushed) do
        redis.call('HINCRBY', P .. 'queues', queue, more)
    end
    writes_end()
    lines_end()
    for _ = 1, n_keys do
        local ttl, key = match(args[at], '^(%d+) (.*)$')
        redis.call('SET', P .. 'key:' .. key, args[at + 1], 'NX', 'PX', ttl)
        at = at + 2
    end
    finish()
    return { now, '', added }
end

-- keys   ARGV  8 where the page begins, "0" at first   9 about so many keys of the server are looked at
--        Reply  ms, where the next begins ("0": this was the last), then for each: key, ms that are
--               left, "PRINT ID ID …"
--
-- This is the one place that walks over everything the server holds; only a move of the whole store
-- asks for it.
-- @script keys: reads
local function keys(given, args)
    local refused = begin(given, args)
    if refused then
        return refused
    end
    local prefix = P .. 'key:'
    local pattern = string.gsub(prefix, '[%*%?%[%]\\]', '\\%0') .. '*'
    local found = redis.call('SCAN', args[8], 'MATCH', pattern, 'COUNT', args[9])
    local out = { now, found[1] }
    for _, key in ipairs(found[2]) do
        local left, value = redis.call('PTTL', key), redis.call('GET', key)
        if value and left > 0 then
            out[#out + 1] = sub(key, #prefix + 1)
            out[#out + 1] = text_of(left)
            out[#out + 1] = value
        end
    end
    return out
end
