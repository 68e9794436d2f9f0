-- read: one job (get), one whose end somebody waits for (wait), a page of jobs (list).
--
-- get, wait
-- ARGV   8 id
-- Reply  ms, text or nothing, and for an active job the end of its lease. `wait` also marks the job
--        (flag W): its end is published as its id on P:end:ID.

local function read_job(id)
    local text = redis.call('GET', P .. 'job:' .. id)
    local f = text and parse(text)
    if not text then
        return { now }
    end
    if f and f[1] == 'active' then
        return { now, text, redis.call('ZSCORE', P .. 'active:' .. f[6], id) or f[2] }, f
    end
    return { now, text }, f
end

-- @script get: reads
local function get(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    return (read_job(args[8]))
end

-- @script wait: changes oom
local function wait(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local out, f = read_job(args[8])
    if f and not IS_FINAL[f[1]] and not f.W then
        f.W = true
        redis.call('SET', P .. 'job:' .. args[8], first_line(f) .. sub(out[2], f.at))
    end
    return out
end

-- list
-- ARGV   8 state
--        9 "1": only dead letters, of discarded
--       10 queue, or empty for all of them (by name)
--       11 type, or empty
--       12 "1": the newest first
--       13 jobs at most
--       14 how many are passed over first
--       15 … 18 cursor: beginning of the queue's SHA-1 (or empty: from the start), place, score, id
-- Reply  ms, "m" when there is more, how many were passed over, how many there are in all,
--        cursor: SHA-1, place, score, id; then for each job id, text, score
--
-- Places of a queue, in order: for available jobs "b" (back) and "r" (ready) of each priority, the
-- priority in front ("5b"); "d" dead letters behind "z" all others. The score is the number in line
-- for available jobs. A cursor is the last job that was looked at; it need not be there any more.

local LIST_CHUNK = 100

-- The rank of the first entry behind the cursor (SCORE, ID) in a sorted set; going down: the number
-- of entries before it.
local function rank_behind(key, score, id, is_down)
    local low, high = redis.call('ZCOUNT', key, '-inf', '(' .. score),
                      redis.call('ZCOUNT', key, '-inf', score)
    while low < high do
        local middle = floor((low + high) / 2)
        local member = redis.call('ZRANGE', key, middle, middle)[1]
        if member < id or (member == id and not is_down) then
            low = middle + 1
        else
            high = middle
        end
    end
    return low
end

-- A walk over one place: how long it is, the rank where it begins, and a page of (id, score).
local function set_walk(key, cursor, is_down)
    local len = redis.call('ZCARD', key)
    local at = is_down and len or 0
    if cursor then
        at = rank_behind(key, cursor.score, cursor.id, is_down)
    end
    return { len = len, at = at, page = function(from, to)
        return redis.call('ZRANGE', key, from, to, 'WITHSCORES')
    end }
end

local function ready_walk(name, cursor, is_down)
    local key = P .. 'ready:' .. name
    local len = redis.call('LLEN', key)
    local first = (tonumber(redis.call('HGET', P .. 'line', name) or '0') or 0) - len + 1
    local at = is_down and len or 0
    if cursor then
        at = cursor.score - first + (is_down and 0 or 1)
        at = at < 0 and 0 or at > len and len or at
    end
    return { len = len, at = at, page = function(from, to)
        local ids, out = redis.call('LRANGE', key, from, to), {}
        local is_stale = #ids > 0 and redis.call('HMGET', P .. 'stale:' .. name, unpack(ids)) or {}
        for i = 1, #ids do
            out[2 * i - 1] = is_stale[i] and '' or ids[i]
            out[2 * i] = text_of(first + from + i - 1)
        end
        return out
    end }
end

-- Put what is in the walk into the page. True when the page is full before the end.
local function list_walk(page, walk, label)
    local at, step = walk.at, page.is_down and -1 or 1
    if page.skip > 0 and label ~= 'ready' then
        local n = page.is_down and at or walk.len - at
        n = n < page.skip and n or page.skip
        page.skip, page.skipped, at = page.skip - n, page.skipped + n, at + step * n
    end
    while true do
        local from = page.is_down and (at - LIST_CHUNK > 0 and at - LIST_CHUNK or 0) or at
        local to = page.is_down and at - 1 or at + LIST_CHUNK - 1
        if from > to or from >= walk.len then
            return false
        end
        local found, keys = walk.page(from, to), {}
        for i = 1, #found, 2 do
            keys[#keys + 1] = P .. 'job:' .. found[i]
        end
        local texts, n = texts_of(keys, #keys), #keys
        for j = 1, n do
            local i = page.is_down and n - j + 1 or j
            local id, score, text = found[2 * i - 1], found[2 * i], texts[i]
            if page.n == page.max or page.scan == 0 then
                return true
            end
            page.place, page.score = page.name, score
            page.id = id ~= '' and id or string.rep('-', 36)
            if id == '' or not text or not parse(text) then
                page.scan = page.scan - 1
            elseif page.skip > 0 then
                page.skip, page.skipped = page.skip - 1, page.skipped + 1
            else
                page.scan = page.scan - 1
                if page.type == '' or type_of(text) == page.type then
                    page.n = page.n + 1
                    page.out[#page.out + 1] = id
                    page.out[#page.out + 1] = text
                    page.out[#page.out + 1] = score
                    page.bytes = page.bytes + #text
                    if page.bytes > LIMIT_LIST_BYTES then
                        page.scan = 0
                    end
                end
            end
        end
        at = page.is_down and from or to + 1
    end
end

-- The places of QUEUE for the state of PAGE, in the order of the page.
local function list_places(page, queue)
    local places = {}
    if page.state == 'available' then
        local order = page.is_down and 'ZREVRANGE' or 'ZRANGE'
        for _, priority in ipairs(redis.call(order, P .. 'prio:' .. queue, 0, -1)) do
            places[#places + 1] = { priority .. (page.is_down and 'r' or 'b'), priority }
            places[#places + 1] = { priority .. (page.is_down and 'b' or 'r'), priority }
        end
    elseif page.is_dead then
        places = { { 'd' } }
    elseif page.state == 'discarded' then
        places = page.is_down and { { 'd' }, { 'z' } } or { { 'z' }, { 'd' } }
    else
        places = { { 'z' } }
    end
    return places
end

local function walk_of(page, queue, name, priority, cursor)
    if priority then
        local line = queue .. ':' .. priority
        if sub(name, -1) == 'r' then
            return ready_walk(line, cursor, page.is_down), 'ready'
        end
        return set_walk(P .. 'back:' .. line, cursor, page.is_down), 'back'
    end
    local key = P .. (name == 'd' and 'dead' or page.state) .. ':' .. queue
    return set_walk(key, cursor, page.is_down), 'set'
end

-- Whether the place NAME of an available job comes before the one that the cursor names.
local function is_before(page, name, cursor_place)
    local a, b = tonumber(match(name, '^-?%d+')), tonumber(match(cursor_place, '^-?%d+') or '')
    if not a or not b then
        return false
    end
    if a ~= b then
        return (a > b) ~= page.is_down
    end
    return (sub(name, -1) == 'b' and sub(cursor_place, -1) == 'r') ~= page.is_down
       and sub(name, -1) ~= sub(cursor_place, -1)
end

local function list_queue(page, queue, cursor)
    for _, item in ipairs(list_places(page, queue)) do
        local name, here = item[1], nil
        if cursor and cursor.place == name then
            here, cursor = cursor, nil
        elseif cursor and page.state == 'available' and not is_before(page, name, cursor.place) then
            cursor = nil
        end
        if not cursor then
            local walk, label = walk_of(page, queue, name, item[2], here)
            page.name = name
            if list_walk(page, walk, label) then
                return true
            end
        end
    end
    return false
end

local function list_count(page, queue)
    if page.state == 'available' then
        return line_count(queue)
    end
    local n = page.state == 'discarded' and redis.call('ZCARD', P .. 'dead:' .. queue) or 0
    if not page.is_dead then
        n = n + redis.call('ZCARD', P .. page.state .. ':' .. queue)
    end
    return n
end

-- @script list: reads
local function list(keys, args)
    local refused = begin(keys, args)
    if refused then
        return refused
    end
    local page = { state = args[8], is_dead = args[9] == '1', type = args[11],
                   is_down = args[12] == '1', max = tonumber(args[13]), skip = tonumber(args[14]),
                   scan = LIMIT_LIST_SCAN, n = 0, skipped = 0, bytes = 0, out = {}, place = '', score = '0',
                   id = '', sha = '' }
    local queues, total, is_full = { args[10] }, 0, false
    local cursor = args[15] ~= '' and { sha = args[15], place = args[16], score = args[17],
                                        id = args[18] } or nil
    if args[10] == '' then
        queues = redis.call('ZRANGE', P .. 'names', 0, -1)
        if page.is_down then
            for i = 1, floor(#queues / 2) do
                queues[i], queues[#queues - i + 1] = queues[#queues - i + 1], queues[i]
            end
        end
    end
    for _, queue in ipairs(queues) do
        local n = list_count(page, queue)
        total = total + n
        if not is_full then
            local sha = cursor and sub(redis.sha1hex(queue), 1, 12)
            if not cursor or cursor.sha == sha then
                local before = page.id
                is_full = (n > 0 or cursor) and list_queue(page, queue, cursor) or false
                cursor = nil
                if page.id ~= before then
                    page.sha = sub(redis.sha1hex(queue), 1, 12)
                end
            end
        end
    end
    return { now, is_full and 'm' or '', page.skipped, total, page.sha, page.place, page.score,
             page.id, unpack(page.out) }
end
