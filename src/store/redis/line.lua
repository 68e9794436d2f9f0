-- line: the available jobs of a queue, and those who wait for them.
--
-- A line is a queue and a priority. Its jobs have numbers from 1 on in order of arrival; P:line has
-- the last one that was given. Entries of the list P:ready:LINE have consecutive ones, so the number
-- of the entry at index I is P:line - LLEN + 1 + I. A job that came back to its place stands in P:back:LINE by its number, before
-- all of the list.
--
-- A job that is cancelled while it stands in the list stays there; P:stale:LINE has its id (and its
-- number), so that it is neither counted nor given, also when the same id is pushed again.
--
-- Waiters: P:wait:QUEUE has processes by the time since when. Whoever makes jobs available takes as
-- many of them as there are jobs, and tells each on P:wake:PROCESS.

local lines -- "QUEUE:PRIORITY" -> { next =, first =, ids = { … }, queue =, priority = }

local function lines_begin()
    lines = {}
end

local function line_of(queue, priority)
    local name = queue .. ':' .. priority
    local line = lines[name]
    if not line then
        local last = tonumber(redis.call('HGET', P .. 'line', name) or '0') or 0
        line = { name = name, queue = queue, priority = priority, ids = {}, next = last + 1,
                 returned = false, added = 0 }
        lines[name] = line
    end
    return line
end

-- To the end of the line; returns the job's number as text.
local function line_up(queue, priority, id)
    local line = line_of(queue, priority)
    local text = text_of(line.next)
    line.next = line.next + 1
    line.ids[#line.ids + 1] = id
    return text
end

-- Back to where it stood.
local function line_return(queue, priority, id, place_number)
    local line = line_of(queue, priority)
    line.returned = true
    line.added = line.added + 1
    add(P .. 'back:' .. line.name, place_number, id)
end

-- An id that stands in a line from an earlier life: its entry becomes one that is nobody's.
local function line_bury(name, id)
    local place_number = redis.call('HGET', P .. 'stale:' .. name, id)
    if not place_number then
        return
    end
    local ready = P .. 'ready:' .. name
    local first = tonumber(redis.call('HGET', P .. 'line', name) or '0')
               - redis.call('LLEN', ready) + 1
    local index = tonumber(place_number) - first
    redis.call('HDEL', P .. 'stale:' .. name, id)
    if index >= 0 and redis.call('LINDEX', ready, index) == id then
        redis.call('LSET', ready, index, '-' .. place_number)
        redis.call('HSET', P .. 'stale:' .. name, '-' .. place_number, place_number)
    end
end

-- The line has jobs: it is to be found by those who lease.
local function line_show(queue, priority)
    if redis.call('ZADD', P .. 'prio:' .. queue, -priority, priority) > 0 then
        local last = redis.call('ZRANGE', P .. 'turn', -1, -1, 'WITHSCORES')
        redis.call('ZADD', P .. 'turn', 'NX', (tonumber(last[2]) or 0) + 1, queue)
    end
end

-- Tell up to N processes that QUEUE has jobs.
local function wake(queue, n)
    local one, any = P .. 'wait:' .. queue, P .. 'wait:*'
    if redis.call('EXISTS', one, any) == 0 then
        return
    end
    local tries = 4 * LIMIT_REDIS_WAKES
    n = n < LIMIT_REDIS_WAKES and n or LIMIT_REDIS_WAKES
    for _, key in ipairs({ one, any }) do
        while n > 0 and tries > 0 do
            local found = redis.call('ZPOPMIN', key, n)
            if #found == 0 then
                break
            end
            for i = 1, #found, 2 do
                tries = tries - 1
                if send('wake:' .. found[i], queue) then
                    n = n - 1
                end
            end
        end
    end
end

-- Do the writes to lines, then wake those who wait.
local function lines_end()
    local woken = {}
    for name, line in pairs(lines) do
        local n = #line.ids
        if n > 0 then
            if redis.call('EXISTS', P .. 'stale:' .. name) == 1 then
                for i = 1, n do
                    line_bury(name, line.ids[i])
                end
            end
            local len = in_pieces('RPUSH', P .. 'ready:' .. name, line.ids, n)
            redis.call('HINCRBY', P .. 'line', name, n)
            if len == nil or len == n then
                line_show(line.queue, line.priority)
            end
        end
        if line.returned then
            redis.call('DEL', P .. 'passed:' .. name)
            line_show(line.queue, line.priority)
        end
        if n + line.added > 0 then
            woken[line.queue] = (woken[line.queue] or 0) + n + line.added
        end
    end
    for queue, n in pairs(woken) do
        if redis.call('SISMEMBER', P .. 'paused', queue) == 0 then
            wake(queue, n)
        end
    end
    lines_begin()
end

-- Where nobody leases, entries that are nobody's would pile up: when they are the most of the list,
-- some of it goes from its front, and what is somebody's stands before the list by its number.
local function line_trim(name)
    local ready, stale = P .. 'ready:' .. name, P .. 'stale:' .. name
    local n_stale, len = redis.call('HLEN', stale), redis.call('LLEN', ready)
    if n_stale <= LIMIT_REDIS_STALE or 2 * n_stale < len then
        return
    end
    local ids = redis.call('LPOP', ready, 4)
    local first = tonumber(redis.call('HGET', P .. 'line', name)) - len + 1
    for i = 1, #ids do
        if redis.call('HDEL', stale, ids[i]) == 0 then
            redis.call('ZADD', P .. 'back:' .. name, text_of(first + i - 1), ids[i])
        end
    end
end

-- An available job leaves its line otherwise than by a lease.
local function line_leave(f, id)
    local name = f[6] .. ':' .. f[16]
    if redis.call('ZREM', P .. 'back:' .. name, id) == 0 then
        redis.call('HSET', P .. 'stale:' .. name, id, f[12])
        line_trim(name)
    end
end

-- How many available jobs the queue has.
local function line_count(queue)
    local n = 0
    for _, priority in ipairs(redis.call('ZRANGE', P .. 'prio:' .. queue, 0, -1)) do
        local name = queue .. ':' .. priority
        n = n + redis.call('LLEN', P .. 'ready:' .. name) + redis.call('ZCARD', P .. 'back:' .. name)
              - redis.call('HLEN', P .. 'stale:' .. name)
    end
    return n
end

-- A queue, from its first job on. False when there are too many.
local function queue_make(queue)
    if redis.call('HEXISTS', P .. 'queues', queue) == 1 then
        return true
    end
    if redis.call('HLEN', P .. 'queues') >= LIMIT_QUEUES then
        return false
    end
    redis.call('HSET', P .. 'queues', queue, 0)
    redis.call('ZADD', P .. 'names', 0, queue)
    return true
end
