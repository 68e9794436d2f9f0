-- call: how every script begins and ends.
--
-- The files call.lua, job.lua and line.lua stand in front of each script's own text. What is local
-- here is set anew by `begin`: in a function library the locals live on between calls.
--
-- KEYS  1 P:epoch   2 P:none (never exists; two keys make a cluster say TRYAGAIN while the slot moves)
-- ARGV  1 epoch     what the caller believes it to be
--       2 client    name of the caller, unique in time
--       3 number    of the call, for those that are done exactly once; else empty
--       4 again     "1": it may have run before
--       5 heard     numbers whose answers have arrived, separated by spaces
--       6 now       ms, for tests; empty: the server's clock
--       7 publish   "p" one server, "s" shard channels, "b" a cluster where nobody knows who heard
--       8 …         the script's own
--
-- A reply begins with the time in ms. A wrong epoch is the error SLUICEEPOCH, before anything is
-- looked at: the server has lost its data, or is not the one that the caller knows.

-- Set by the first call: while a library is loaded, Redis lets it see nothing.
local byte, concat, find, floor, format, gmatch, match, sub
local TWO           -- [0] = "00" … [99] = "99": the end of a number without a call of tostring
local STATES        -- [0] … [7]
local STATE_NUMBER  -- and back

local P          -- prefix of every key of the partition, "sl{7}:"
local now        -- ms
local now_text
local ops_key    -- P:ops:CLIENT of a numbered call, else nil
local number
local heard
local publish
local events     -- lines for P:events while somebody listens, else nil
local messages   -- channel, text, … to be sent after the writes

local function begin_first()
    byte, find, format, gmatch, match, sub =
        string.byte, string.find, string.format, string.gmatch, string.match, string.sub
    concat, floor = table.concat, math.floor
    TWO, STATE_NUMBER = {}, {}
    for i = 0, 99 do
        TWO[i] = format('%02d', i)
    end
    STATES = { [0] = 'scheduled', 'available', 'pending', 'active', 'completed', 'retryable',
               'cancelled', 'discarded' }
    for i = 0, 7 do
        STATE_NUMBER[STATES[i]] = i
    end
end

local function text_of(n)
    return format('%.0f', n)
end

-- Nil, or what is to be returned at once; and the answer of this call when it has run before.
local function begin(keys, args)
    if not TWO then
        begin_first()
    end
    if not keys[1] then -- whether scripts may be called is all that was asked
        return { err = 'SLUICEKEYS a call names its partition' }
    end
    P = sub(keys[1], 1, -6)
    local late_key = P .. 'ops:' .. args[2] .. ':late'
    local got = redis.call('MGET', keys[1], P .. 'listen', late_key)
    if got[1] ~= args[1] then
        return { err = 'SLUICEEPOCH the store is not the one that was opened: '
                     .. (got[1] or 'its data is gone') }
    end
    now = tonumber(args[6])
    if not now then
        local time = redis.call('TIME')
        now = time[1] * 1000 + floor(time[2] / 1000)
    end
    now_text = text_of(now)
    events = got[2] and {} or nil
    messages = {}
    publish = args[7]
    number = args[3]
    heard = args[5]
    ops_key = nil
    if number ~= '' then
        ops_key = P .. 'ops:' .. args[2]
        if args[4] == '1' then
            -- What was sent first may still be on its way, and comes too late from now on. It is a
            -- write also because WAIT on this connection must cover what was written on the last.
            -- Repeats may come in another order: the mark never goes back.
            local mark = number
            if got[3] and tonumber(got[3]) > tonumber(number) then
                mark = got[3]
            end
            redis.call('SET', late_key, mark, 'EX', LIMIT_REDIS_OPS_S)
            return nil, redis.call('HGET', ops_key, number) or nil
        end
        if got[3] and tonumber(number) <= tonumber(got[3]) then
            return { err = 'SLUICELATE it was sent again meanwhile' }
        end
    end
    return nil, nil
end

-- Keep the answer of a numbered call until it is heard. The hash ends an hour after the last call.
local function remember(answer)
    if not ops_key then
        return
    end
    redis.call('HSET', ops_key, number, answer)
    redis.call('EXPIRE', ops_key, LIMIT_REDIS_OPS_S)
    if heard ~= '' then
        local fields, n = { 'HDEL', ops_key }, 2
        for one in gmatch(heard, '%d+') do
            n = n + 1
            fields[n] = one
            if n == 1000 then
                redis.call(unpack(fields))
                fields, n = { 'HDEL', ops_key }, 2
            end
        end
        if n > 2 then
            redis.call(unpack(fields))
        end
    end
end

-- One message, now. Whether somebody heard it, as far as that can be known.
local function send(channel, message)
    local n = redis.call(publish == 's' and 'SPUBLISH' or 'PUBLISH', P .. channel, message)
    return n > 0 or publish == 'b'
end

-- What was noted on the way: messages, and one with all events. After the last write.
local function finish()
    for i = 1, #messages, 2 do
        send(messages[i], messages[i + 1])
    end
    messages = {}
    if events and #events > 0 then
        send('events', now_text .. '\n' .. concat(events, '\n'))
        events = {}
    end
end

-- Call a command with HEAD and then N arguments of LIST in pieces that fit on Lua's stack.
local function in_pieces(command, key, list, n)
    local size = LIMIT_REDIS_ARGS
    if n <= size then
        return redis.call(command, key, unpack(list, 1, n))
    end
    for from = 1, n, size do
        redis.call(command, key, unpack(list, from, from + size - 1 < n and from + size - 1 or n))
    end
end

-- The texts of KEYS, false where there is none.
local function texts_of(keys, n)
    if n == 0 then
        return {}
    end
    if n <= LIMIT_REDIS_ARGS then
        return redis.call('MGET', unpack(keys, 1, n))
    end
    local all = {}
    for from = 1, n, LIMIT_REDIS_ARGS do
        local to = from + LIMIT_REDIS_ARGS - 1 < n and from + LIMIT_REDIS_ARGS - 1 or n
        local some = redis.call('MGET', unpack(keys, from, to))
        for i = 1, to - from + 1 do
            all[from + i - 1] = some[i]
        end
    end
    return all
end
