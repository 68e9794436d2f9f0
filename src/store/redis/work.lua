-- work: jobs move, and then jobs are leased. The one call of a busy worker for each batch.
--
-- ARGV  8 moves in all
--       9 "1": give back the text of each job that was moved
--      10 jobs in a piece: all guards of a piece are looked at before its first write
--      11 … groups until the moves are complete:
--         head  "FROM TO REASON OPTIONS DUE DELAY OVER WORKER N": sets of states as numbers; options
--               d only a dead letter   e only when the lease has ended   D becomes a dead letter
--               g the attempt is given back   l a lease was lost   k keeps its place
--               s a third argument for each: sections to be appended   x they begin with an error
--         for each of the N jobs: id, fence (0: any), and with s the sections
--       then the lease: the most jobs (0: only wake another who waits), or empty for none. With
--         length, default length (ms), worker, process that waits from here on (or empty),
--         number of types to pass over, a name for just this list of them, the types,
--         number of queues (0: any), the queues
--
-- Reply  ms, outcomes, texts of moved jobs (id, text, …), lease outcome, leased jobs (id, text, …)
--        Outcomes are runs "COUNT R WAS ATTEMPT": R 0 done, 1 there is none, 2 state, 3 fence or
--        worker, 4 too large; WAS the number of the state it was in (8: none).
--        Lease outcome: "" jobs, "e" there is none, "m" too many were passed over.

local MOVED, MISSING, CONFLICT, STALE, TOO_LARGE = 0, 1, 2, 3, 4

local runs, run_r, run_was, run_attempt, run_n

local function note_run()
    if run_n > 0 then
        runs[#runs + 1] = run_n .. ' ' .. run_r .. ' ' .. run_was .. ' ' .. run_attempt
    end
end

local function note(r, was, attempt)
    if r == run_r and was == run_was and attempt == run_attempt then
        run_n = run_n + 1
        return
    end
    note_run()
    run_r, run_was, run_attempt, run_n = r, was, attempt, 1
end

local function states_in(mask)
    local set_of = {}
    for i = 0, 7 do
        if floor(mask / 2 ^ i) % 2 == 1 then
            set_of[STATES[i]] = true
        end
    end
    return set_of
end

local function read_group(head)
    local from, to, reason, options, due, delay, over, worker, n =
        match(head, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
    local group = { from = states_in(tonumber(from)), to = to, reason = reason, due = due,
                    delay = delay, over = states_in(tonumber(over)), worker = worker,
                    n = tonumber(n), final = IS_FINAL[to], is_quick = to == 'completed'
                        and reason == 'none' and over == '0' and delay == '0' }
    for letter in gmatch(options, '[^-]') do
        group[letter] = true
        group.is_quick = group.is_quick and letter == 's'
    end
    group.is_quick = group.is_quick and group.from.active and not events
    return group
end

-- What stands against the move of F.
local function guard(group, f, id, fence)
    local r = MOVED
    if not group.from[f[1]] or (f[1] ~= 'active' and fence ~= '0') then
        r = CONFLICT
    elseif f[1] == 'active' and ((fence ~= '0' and fence ~= f[3])
        or (group.worker ~= '-' and group.worker ~= f[5])) then
        r = STALE
    end
    if group.d and not (f[1] == 'discarded' and f.D) then
        r = MISSING
    end
    if r == MOVED and group.e
        and tonumber(redis.call('ZSCORE', place('active', false, f[6]), id) or 0) > now then
        r = CONFLICT
    end
    return r
end

-- REST without its first error when it has as many as are kept.
local function drop_oldest_error(rest)
    local at, errors, first, first_end = 2, 0, nil, nil
    for _ = 1, LIMIT_REDIS_SECTIONS do
        local _, to, name, len = find(rest, '^(%S+) (%d+) ', at)
        if not to then
            break
        end
        local next_at = to + len + 2
        if name == 'error' then
            errors = errors + 1
            if not first then
                first, first_end = at, next_at
            end
        end
        at = next_at
    end
    if errors >= LIMIT_JOB_ERRORS then
        return sub(rest, 1, first - 1) .. sub(rest, first_end)
    end
    return rest
end

-- The job into its new state: fields, places, messages. REST is what follows its first line.
local function shift(f, id, text, group)
    local was, queue, dead = f[1], f[6], f.D
    local was_attempt = f[7]
    local to = group.to
    f[1] = to
    f.D = group.D
    f.R = group.reason ~= 'none' and group.reason or nil
    if was == 'available' then
        line_leave(f, id)
    else
        remove(place(was, dead, queue), id)
    end
    if to == 'available' then
        f[2], f[13] = '0', now_text
        if group.k and f[12] ~= '0' then
            line_return(queue, f[16], id, f[12])
        else
            f[12] = line_up(queue, f[16], id)
        end
    else
        f[2] = group.final and now_text or group.due
        add(place(to, f.D, queue), f[2], id)
        if not group.final then
            note_due(to, queue, f[2])
        end
    end
    if group.final and f.W then
        f.W = nil
        messages[#messages + 1] = 'end:' .. id
        messages[#messages + 1] = id
    end
    if to == 'cancelled' and was == 'active' then
        messages[#messages + 1] = 'control'
        messages[#messages + 1] = 'cancelled ' .. id
    end
    if group.g and f[7] ~= '0' then
        f[7] = text_of(f[7] - 1)
    end
    if group.l then
        f[10] = text_of(f[10] + 1)
    end
    if group.over[was] then
        f[7], f[10] = '0', '0'
    end
    if group.delay ~= '0' then
        f[11] = group.delay
    end
    if events then
        event(was, f, id, text, was == 'active' and was_attempt or f[7],
              was == 'active' and text_of(now - f[8]) or '0')
    end
end

-- One move without assumptions. R, what it was, its attempt, its text.
local function move_one(group, id, fence, text, sections)
    local f = text and parse(text)
    if not f then
        return MISSING, 8, '0'
    end
    local was = STATE_NUMBER[f[1]]
    local r = guard(group, f, id, fence)
    if r ~= MOVED then
        return r, was, f[7], nil, f
    end
    if #text + #sections > LIMIT_JOB_RECORD_BYTES then
        return TOO_LARGE, was, f[7], nil, f
    end
    local rest = sub(text, f.at)
    if group.x then
        rest = drop_oldest_error(rest)
    end
    shift(f, id, text, group)
    text = first_line(f) .. rest .. sections
    set(P .. 'job:' .. id, text)
    return MOVED, was, f[7], text, f
end

-- The moves of one piece: up to SIZE of the LEFT jobs, from argument AT on. Returns where the next
-- begin. The writes of the last piece wait for those of the lease, unless it made jobs available.
local function move_piece(args, at, left, size, group, in_group, moved)
    local job, n = P .. 'job:', 0
    local keys, heads, ids = {}, {}, {}
    local first_group = group
    local most = left < size and left or size
    -- Where the jobs are in the arguments, and their keys.
    while n < most do
        if in_group == 0 then
            group = read_group(args[at])
            heads[n] = group
            in_group = group.n
            at = at + 1
        end
        local step = group.s and 3 or 2
        for _ = 1, (in_group < most - n) and in_group or most - n do
            n = n + 1
            ids[n] = at
            keys[n] = job .. args[at]
            at = at + step
            in_group = in_group - 1
        end
    end
    local texts = texts_of(keys, n)
    local last_group = group
    group = first_group
    local expected, expected_fence, gone, done, queue, attempt, done_n, gone_n, worker
    for i = 1, n do
        group = heads[i - 1] or group
        local where, text = ids[i], texts[i]
        local id, fence = args[where], args[where + 1]
        local sections = group.s and args[where + 2] or ''
        if expected and fence ~= expected_fence and fence ~= '0' then
            expected_fence = fence
            expected = concat({ '', fence, '-', worker, queue, attempt, '' }, ' ')
        end
        if group.is_quick and expected and text and find(text, expected, 21, true) == 21
            and byte(text, 2) == 99 and (group.worker == '-' or group.worker == worker)
            and #text + #sections < LIMIT_JOB_RECORD_BYTES then
            gone_n, done_n = gone_n + 1, done_n + 2
            gone[gone_n] = id
            done[done_n - 1] = now_text
            done[done_n] = id
            text = 'completed ' .. now_text .. sub(text, 21) .. sections
            sets[n_sets + 1] = keys[i]
            sets[n_sets + 2] = text
            n_sets = n_sets + 2
            if run_r == 0 and run_was == 3 and run_attempt == attempt then
                run_n = run_n + 1
            else
                note(MOVED, 3, attempt)
            end
            if moved then
                moved[#moved + 1] = id
                moved[#moved + 1] = text
            end
        else
            local r, was, after, new_text, f = move_one(group, id, fence, text, sections)
            note(r, was, after)
            if moved and new_text then
                moved[#moved + 1] = id
                moved[#moved + 1] = new_text
            end
            if r == MOVED and group.is_quick and was == 3 and f[4] == '-' then
                -- The next one is likely to look the same.
                worker, queue, attempt, expected_fence = f[5], f[6], f[7], f[3]
                expected = concat({ '', expected_fence, '-', worker, queue, attempt, '' }, ' ')
                gone = removes[place('active', false, queue)]
                done = adds[place('completed', false, queue)]
                gone_n, done_n = #gone, #done
            else
                expected = nil
            end
        end
    end
    if left > n or next(lines) then
        writes_end()
        lines_end()
    end
    return at, last_group, in_group, n
end

-- All moves. Returns where the lease begins, and the texts that were asked for.
local function work_moves(args)
    local left, size = tonumber(args[8]), tonumber(args[10])
    local at, group, in_group = 11, nil, 0
    local moved = args[9] == '1' and {} or nil
    runs, run_n, run_r = {}, 0, nil
    while left > 0 do
        local n
        at, group, in_group, n = move_piece(args, at, left, size, group, in_group, moved)
        left = left - n
    end
    note_run()
    return at, moved or {}
end

-- ---- the lease ----------------------------------------------------------------------------------

local function read_lease(args, at)
    local lease = { max = tonumber(args[at]), length = tonumber(args[at + 1]),
                    default = tonumber(args[at + 2]), worker = args[at + 3],
                    process = args[at + 4], queues = {}, got = {}, n = 0, bytes = 0,
                    scan = LIMIT_LEASE_SCAN }
    local n_skip = tonumber(args[at + 5])
    lease.print = args[at + 6]
    at = at + 7
    if n_skip > 0 then
        lease.skip = {}
        for i = 1, n_skip do
            lease.skip[args[at + i - 1]] = true
        end
    end
    at = at + n_skip
    lease.is_any = args[at] == '0'
    for i = 1, tonumber(args[at]) do
        lease.queues[i] = args[at + i]
    end
    return lease
end

local function length_of(lease, f)
    local length = lease.length
    if length <= 0 and f and f.L then
        length = tonumber(f.L)
    end
    if length <= 0 then
        length = lease.default
    end
    return length < 1 and 1 or length > 2147483647 and 2147483647 or length
end

-- A job of LEN bytes is given: with it the answer may be as large as it gets.
local function note_given(lease, len)
    lease.n = lease.n + 1
    lease.bytes = lease.bytes + len
    if lease.bytes > LIMIT_LEASE_BYTES then
        lease.max = lease.n
    end
end

-- A job that does not look like the others. "" it is given; "s" its type is passed over; "d" it is
-- no more (discarded, or not available at all).
local function grant_one(lease, queue, id, text)
    local f = text and parse(text)
    if not f or f[1] ~= 'available' then
        return 'd'
    end
    if f.X and tonumber(f.X) <= now then
        f[1], f[2], f.R, f.D = 'discarded', now_text, 'expired', nil
        if f.W then
            f.W = nil
            messages[#messages + 1] = 'end:' .. id
            messages[#messages + 1] = id
        end
        add(place('discarded', false, queue), now_text, id)
        set(P .. 'job:' .. id, first_line(f) .. sub(text, f.at))
        if events then
            event('available', f, id, text, f[7], '0')
        end
        return 'd'
    end
    if lease.skip and lease.skip[type_of(text)] then
        return 's', f
    end
    local length = length_of(lease, f)
    local till = now + length
    if f.T and now + f.T < till then
        till = now + f.T
    end
    f[1], f[2], f.R = 'active', text_of(till), nil
    f[3] = text_of(f[3] + 1)
    f[5] = lease.worker
    f[7] = tonumber(f[7]) < 65535 and text_of(f[7] + 1) or f[7]
    f[8], f[9] = now_text, text_of(length)
    local new_text = first_line(f) .. sub(text, f.at)
    set(P .. 'job:' .. id, new_text)
    add(P .. 'active:' .. queue, f[2], id)
    note_due('active', queue, till)
    note_given(lease, #new_text)
    lease.got[2 * lease.n - 1] = id
    lease.got[2 * lease.n] = new_text
    if events then
        event('available', f, id, text, f[7], '0')
    end
    return ''
end

-- The jobs IDS from FROM on are too much for this answer: they stand before their line.
local function line_again(name, ids, texts, from)
    for i = from, #ids do
        local f = texts[i] and parse(texts[i])
        if f and f[1] == 'available' then
            redis.call('ZADD', P .. 'back:' .. name, f[12], ids[i])
        end
    end
end

-- Give the jobs IDS, all of which have left their line NAME, or the first of them: the others go
-- back. For lines without types to pass over. Returns how many it was done with.
local function grant_all(lease, queue, name, ids)
    local n, keys, job = #ids, {}, P .. 'job:'
    for i = 1, n do
        keys[i] = job .. ids[i]
    end
    local texts = texts_of(keys, n)
    local length = length_of(lease, nil)
    local till = text_of(now + length)
    local fresh = 'available 0 0 - - ' .. queue .. ' 0 0 0 0 0 '
    local rest_at = #fresh + 1
    local given = concat({ 'active', till, '1 -', lease.worker, queue, '1', now_text,
                           text_of(length), '0 0 ' }, ' ')
    local got, n_got, active = lease.got, 2 * lease.n, P .. 'active:' .. queue
    local filed = adds[active] or {}
    local n_filed = #filed
    adds[active] = filed
    local done = n
    for i = 1, n do
        local id, text = ids[i], texts[i]
        if lease.n == lease.max then
            line_again(name, ids, texts, i)
            done = i - 1
            break
        end
        if text and not events and find(text, fresh, 1, true) == 1 then
            text = given .. sub(text, rest_at)
            sets[n_sets + 1] = keys[i]
            sets[n_sets + 2] = text
            n_sets = n_sets + 2
            filed[n_filed + 1] = till
            filed[n_filed + 2] = id
            n_filed = n_filed + 2
            got[n_got + 1] = id
            got[n_got + 2] = text
            n_got = n_got + 2
            note_given(lease, #text)
        else
            grant_one(lease, queue, id, text)
            n_got, n_filed = 2 * lease.n, #filed
        end
    end
    if n_filed > 0 then
        note_due('active', queue, till)
    end
    return done
end

-- IDS without those that are no longer in line.
local function without_stale(stale, ids)
    local found, left, n = redis.call('HMGET', stale, unpack(ids)), {}, 0
    for i = 1, #ids do
        if found[i] then
            redis.call('HDEL', stale, ids[i])
        else
            n = n + 1
            left[n] = ids[i]
        end
    end
    return left
end

-- From one line, all types. True when nothing is left in it.
local function lease_line(lease, queue, name)
    local ready, back, stale = P .. 'ready:' .. name, P .. 'back:' .. name, P .. 'stale:' .. name
    local chunk = LIMIT_REDIS_GRANTS
    while lease.n < lease.max and lease.scan > 0 do
        local need, before = lease.max - lease.n, lease.n
        if need > chunk then
            need = chunk
        end
        local ids = redis.call('ZRANGE', back, 0, need - 1)
        if #ids > 0 then
            redis.call('ZREM', back, unpack(ids))
        else
            ids = redis.call('LPOP', ready, need)
            if not ids then
                return true
            end
            if redis.call('EXISTS', stale) == 1 then
                local n = #ids
                ids = without_stale(stale, ids)
                lease.scan = lease.scan - n + #ids
            end
        end
        -- The next piece is larger when these jobs were small.
        local done = grant_all(lease, queue, name, ids)
        lease.scan = lease.scan - done + lease.n - before
        if lease.bytes < LIMIT_LEASE_BYTES / 16 then
            chunk = 1000
        end
        if #ids < need and lease.n < lease.max and redis.call('EXISTS', ready, back) == 0 then
            return true
        end
    end
    return redis.call('EXISTS', ready, back) == 0
end

-- Look at jobs one by one until enough are taken. Returns how many were looked at.
local function choose(lease, queue, name, ids, numbers)
    local keys = {}
    for i = 1, #ids do
        keys[i] = P .. 'job:' .. ids[i]
    end
    local texts, stale = texts_of(keys, #keys), P .. 'stale:' .. name
    local is_stale = numbers == nil and redis.call('HMGET', stale, unpack(ids)) or {}
    for i = 1, #ids do
        if lease.n == lease.max then
            return i - 1
        end
        lease.scan = lease.scan - 1
        if is_stale[i] then
            redis.call('HDEL', stale, ids[i])
        else
            local what, f = grant_one(lease, queue, ids[i], texts[i])
            if what == 's' then
                lease.passed_to = tonumber(f[12])
                if not numbers then
                    redis.call('ZADD', P .. 'back:' .. name, f[12], ids[i])
                end
            elseif numbers then
                redis.call('ZREM', P .. 'back:' .. name, ids[i])
            end
        end
    end
    return #ids
end

-- From one line, but not the types of lease.skip: those stand in `back` from then on. Up to where
-- this list of types has found nothing of use is kept, until a job comes back to its place.
local function lease_line_by_type(lease, queue, name)
    local ready, back, passed = P .. 'ready:' .. name, P .. 'back:' .. name, P .. 'passed:' .. name
    local from = redis.call('HGET', passed, lease.print) or '0'
    lease.passed_to = nil
    while lease.n < lease.max and lease.scan > 0 do
        local ids = redis.call('ZRANGEBYSCORE', back, '(' .. (lease.passed_to or from), '+inf',
                               'LIMIT', 0, lease.scan < 100 and lease.scan or 100)
        if #ids > 0 then
            choose(lease, queue, name, ids, true)
        else
            ids = redis.call('LRANGE', ready, 0, (lease.scan < 100 and lease.scan or 100) - 1)
            if #ids == 0 then
                break
            end
            redis.call('LPOP', ready, choose(lease, queue, name, ids, nil))
        end
    end
    if lease.passed_to then
        redis.call('HSET', passed, lease.print, text_of(lease.passed_to))
        redis.call('EXPIRE', passed, LIMIT_REDIS_OPS_S)
    end
    return redis.call('EXISTS', ready, back) == 0
end

-- From one queue; true when it has given and has more.
local function lease_queue(lease, queue)
    if redis.call('SISMEMBER', P .. 'paused', queue) == 1 then
        return false
    end
    local prio = P .. 'prio:' .. queue
    local priorities = redis.call('ZRANGE', prio, 0, -1)
    local left = #priorities
    for i = 1, #priorities do
        if lease.n >= lease.max or lease.scan <= 0 then
            break
        end
        local name = queue .. ':' .. priorities[i]
        local is_empty
        if lease.skip then
            is_empty = lease_line_by_type(lease, queue, name)
        else
            is_empty = lease_line(lease, queue, name)
        end
        if is_empty then
            redis.call('ZREM', prio, priorities[i])
            left = left - 1
        end
    end
    if left == 0 and #priorities > 0 then
        redis.call('ZREM', P .. 'turn', queue)
    end
    return left > 0
end

-- From any queue, the one that was served longest ago first.
local function lease_any(lease)
    local queues = redis.call('ZRANGE', P .. 'turn', 0, LIMIT_REDIS_TURNS - 1)
    local last = redis.call('ZRANGE', P .. 'turn', -1, -1, 'WITHSCORES')
    local turn = tonumber(last[2]) or 0
    for i = 1, #queues do
        if lease.n >= lease.max or lease.scan <= 0 then
            break
        end
        lease.queues[#lease.queues + 1] = queues[i]
        turn = turn + 1
        redis.call('ZADD', P .. 'turn', 'XX', turn, queues[i])
        lease.has_more = lease_queue(lease, queues[i])
    end
end

-- Who got nothing waits, who got something does not; who leaves something behind wakes another.
local function lease_wait(lease)
    local keys = {}
    for i = 1, #lease.queues do
        keys[i] = P .. 'wait:' .. lease.queues[i]
    end
    if lease.is_any then
        keys = { P .. 'wait:*' }
    end
    if lease.n == 0 then
        for i = 1, lease.process ~= '' and #keys or 0 do
            redis.call('ZADD', keys[i], 'NX', now_text, lease.process)
        end
        return
    end
    if lease.process ~= '' and redis.call('EXISTS', unpack(keys)) > 0 then
        for i = 1, #keys do
            redis.call('ZREM', keys[i], lease.process)
        end
    end
    if lease.has_more then
        wake(lease.queues[lease.is_any and #lease.queues or lease.at], 1)
    end
end

-- A lease of no jobs: whoever was told of jobs and takes none lets another be told.
local function lease_pass(lease)
    writes_end()
    if lease.is_any then
        lease.queues = redis.call('ZRANGE', P .. 'turn', 0, LIMIT_REDIS_TURNS - 1)
    end
    for _, queue in ipairs(lease.queues) do
        if redis.call('SISMEMBER', P .. 'paused', queue) == 0 and line_count(queue) > 0 then
            wake(queue, 1)
        end
    end
    return 'e', lease.got
end

local function work_lease(args, at)
    local lease = read_lease(args, at)
    if lease.max == 0 then
        return lease_pass(lease)
    end
    if lease.is_any then
        lease_any(lease)
    else
        for i = 1, #lease.queues do
            if lease.n >= lease.max or lease.scan <= 0 then
                break
            end
            lease.at = i
            lease.has_more = lease_queue(lease, lease.queues[i])
        end
    end
    writes_end()
    lease_wait(lease)
    local outcome = lease.n > 0 and '' or lease.scan <= 0 and 'm' or 'e'
    return outcome, lease.got
end

-- ---- the call -----------------------------------------------------------------------------------

-- The answer that was given before. Texts are read again; a job is given only if it is still held
-- as this call has left it, which is told by when its attempt began.
local function work_again(args, earlier)
    local then_text, outcomes, lease_outcome, moved_ids, got_ids =
        match(earlier, '^(%d+)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$')
    local moved, got = {}, {}
    for id in gmatch(moved_ids, '%S+') do
        moved[#moved + 1] = id
        moved[#moved + 1] = redis.call('GET', P .. 'job:' .. id) or ''
    end
    for id in gmatch(got_ids, '%S+') do
        local text = redis.call('GET', P .. 'job:' .. id)
        local f = text and parse(text)
        if f and f[1] == 'active' and f[8] == then_text then
            got[#got + 1] = id
            got[#got + 1] = text
        end
    end
    return { now, outcomes, moved, #got == 0 and lease_outcome == '' and 'e' or lease_outcome, got }
end

local function ids_in(list)
    local ids, n = {}, 0
    for i = 1, #list, 2 do
        n = n + 1
        ids[n] = list[i]
    end
    return concat(ids, ' ')
end

-- @script work: writes numbered oom
local function work(keys, args)
    local refused, earlier = begin(keys, args)
    if refused then
        return refused
    end
    if earlier then
        return work_again(args, earlier)
    end
    writes_begin()
    lines_begin()
    local at, moved = work_moves(args)
    local outcome, got = '', {}
    if args[at] ~= '' then
        outcome, got = work_lease(args, at)
    else
        writes_end()
    end
    local outcomes = concat(runs, ',')
    if ops_key then
        remember(concat({ now_text, outcomes, outcome, ids_in(moved), ids_in(got) }, '|'))
    end
    finish()
    return { now, outcomes, moved, outcome, got }
end
