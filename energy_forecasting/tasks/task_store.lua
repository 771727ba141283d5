-- Task records: every write to one happens here, atomically, in one round trip.
--
-- KEYS   1 task      hash    the record
--        2 events    list    one JSON text per change; the index in the list is the event's id
--        3 index     zset    task id by creation time: every record
--        4 open      zset    task id by creation time: records that have not ended
--        5 leases    zset    task id by the time its worker's lease ends
--        6 unqueued  zset    task id by the time from which a missing message is replaced
--        7 live      string  the open task of the record's meter
--        8 durations hash    stage to its mean duration in ms over recent tasks
-- ARGV   1 operation, 2 channel of the task's events, 3 task id, 4.. the operation's own
--
-- Fencing: a worker's write carries the attempt it claimed. Once the task has been given to
-- somebody else, or has ended, the attempt no longer matches and the write is refused.
-- The clock is Redis's own, so that workers on several machines agree.

local task, events, index, open, leases, unqueued, live, durations =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local operation, channel, id = ARGV[1], ARGV[2], ARGV[3]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local TERMINAL = { SUCCESS = true, FAILED = true, CANCELLED = true }
local PIPELINE = { 'STARTED', 'CONNECTING', 'FETCHING_DATA', 'VALIDATING_DATA',
                   'TRAINING_MODEL', 'SAVING_MODEL' }
local NEWEST_WEIGHT = 0.3  -- of the latest task in a stage's mean duration

local function field(name) return redis.call('HGET', task, name) end

local function emit(status)
  local values = redis.call('HMGET', task, 'progress', 'message', 'attempt', 'error')
  local event = { task_id = id, status = status, progress = tonumber(values[1]),
                  message = values[2], attempt = tonumber(values[3]), updated_ms = now }
  if values[4] then event.error = values[4] end
  local text = cjson.encode(event)
  local length = redis.call('RPUSH', events, text)
  redis.call('PUBLISH', channel, (length - 1) .. ' ' .. text)
end

-- Learn how long the stage lasted that is being left.
local function learn_duration(stage)
  local since = tonumber(field('stage_ms') or now)
  local mean = tonumber(redis.call('HGET', durations, stage))
  local lasted = now - since
  if mean then lasted = mean + NEWEST_WEIGHT * (lasted - mean) end
  redis.call('HSET', durations, stage, lasted)
end

-- Milliseconds to the end from what earlier tasks took; nil while that is not known.
local function remaining(stage, fraction)
  local total, reached = 0, false
  for _, name in ipairs(PIPELINE) do
    local mean = tonumber(redis.call('HGET', durations, name))
    if name == stage then
      reached = true
      local elapsed = now - tonumber(field('stage_ms') or now)
      if fraction > 0.1 then
        total = total + elapsed * (1 - fraction) / fraction
      elseif mean then
        total = total + math.max(mean - elapsed, 0)
      else
        return nil
      end
    elseif reached then
      if mean then total = total + mean elseif name ~= 'SAVING_MODEL' then return nil end
    end
  end
  return reached and total or nil
end

local function finish(retention_ms)
  redis.call('ZREM', open, id)
  redis.call('ZREM', leases, id)
  redis.call('ZREM', unqueued, id)
  if redis.call('GET', live) == id then redis.call('DEL', live) end
  redis.call('HDEL', task, 'estimated_ms')
  redis.call('PEXPIRE', task, retention_ms)
  redis.call('PEXPIRE', events, retention_ms)
end

-- Back to PENDING for another attempt.
local function requeue(message, counter, due_ms)
  redis.call('HINCRBY', task, 'attempt', 1)
  redis.call('HINCRBY', task, counter, 1)
  redis.call('HDEL', task, 'estimated_ms')
  redis.call('HSET', task, 'status', 'PENDING', 'progress', 0, 'message', message,
             'updated_ms', now, 'stage_ms', now)
  redis.call('ZREM', leases, id)
  redis.call('ZADD', unqueued, now + due_ms, id)
  emit('PENDING')
end

-- Why a fenced write may not happen, or nil.
local function refusal(attempt)
  local status = field('status')
  if not status then return 'UNKNOWN' end
  if TERMINAL[status] then return status end
  if field('attempt') ~= attempt then return 'STALE' end
  return nil
end

if operation == 'admit' then
  -- ARGV 4 record prefix, 5 due_ms, 6.. field, value, ...
  local existing = redis.call('GET', live)
  if existing then
    local status = redis.call('HGET', ARGV[4] .. existing, 'status')
    if status and not TERMINAL[status] then return { 'EXISTING', existing } end
  end
  redis.call('HSET', task, 'created_ms', now, 'updated_ms', now, 'stage_ms', now,
             unpack(ARGV, 6))
  redis.call('ZADD', index, now, id)
  redis.call('ZADD', open, now, id)
  redis.call('ZADD', unqueued, now + ARGV[5], id)
  redis.call('SET', live, id)
  emit('PENDING')
  return { 'ADMITTED', id }

elseif operation == 'enqueued' then
  redis.call('ZREM', unqueued, id)
  return { 'OK' }

elseif operation == 'claim' then
  -- ARGV 4 worker, 5 lease_ms, 6 message
  local status = field('status')
  if not status then return { 'UNKNOWN' } end
  if TERMINAL[status] then return { status } end
  if status ~= 'PENDING' then
    local lease = tonumber(redis.call('ZSCORE', leases, id))
    return { (lease and lease > now) and 'BUSY' or 'LOST' }
  end
  redis.call('HSETNX', task, 'started_ms', now)
  redis.call('HSET', task, 'status', 'STARTED', 'progress', 0, 'message', ARGV[6],
             'worker', ARGV[4], 'updated_ms', now, 'stage_ms', now)
  redis.call('ZADD', leases, now + ARGV[5], id)
  redis.call('ZREM', unqueued, id)
  local left = remaining('STARTED', 0)
  if left then redis.call('HSET', task, 'estimated_ms', math.floor(now + left)) end
  emit('STARTED')
  return { 'CLAIMED', field('attempt'), field('retries') or '0' }

elseif operation == 'renew' then
  -- ARGV 4 attempt, 5 lease_ms
  local refused = refusal(ARGV[4])
  if refused then return { refused } end
  redis.call('ZADD', leases, now + ARGV[5], id)
  return { 'OK' }

elseif operation == 'advance' then
  -- ARGV 4 attempt ('*': anybody's), 5 stage, 6 stages it may be entered from, 7 progress ('':
  --      keep), 8 message, 9 fraction of the stage done, 10 retention_ms, 11.. field, value, ...
  local attempt, stage, progress = ARGV[4], ARGV[5], ARGV[7]
  local refused = refusal(attempt == '*' and field('attempt') or attempt)
  if refused then return { refused } end
  local status = field('status')
  if not string.find(',' .. ARGV[6] .. ',', ',' .. status .. ',', 1, true) then
    return { 'FORBIDDEN', status }
  end
  if stage ~= status then
    if not (stage == 'FAILED' or stage == 'CANCELLED') then learn_duration(status) end
    redis.call('HSET', task, 'stage_ms', now)
  end
  if progress == '' then progress = field('progress') end
  progress = math.max(tonumber(progress), tonumber(field('progress')))
  redis.call('HSET', task, 'status', stage, 'progress', progress, 'message', ARGV[8],
             'updated_ms', now, unpack(ARGV, 11))
  local left = remaining(stage, tonumber(ARGV[9]))
  if left then redis.call('HSET', task, 'estimated_ms', math.floor(now + left)) end
  if TERMINAL[stage] then finish(ARGV[10]) end
  emit(stage)
  return { 'OK' }

elseif operation == 'retry' then
  -- ARGV 4 attempt, 5 message, 6 due_ms, 7 counter
  local refused = refusal(ARGV[4])
  if refused then return { refused } end
  requeue(ARGV[5], ARGV[7], ARGV[6])
  return { 'OK' }

elseif operation == 'release_lost' then
  -- ARGV 4 most losses, 5 message of a requeue, 6 due_ms, 7 retention_ms, 8 error,
  --      9 error_details
  local status = field('status')
  if not status or TERMINAL[status] then
    redis.call('ZREM', leases, id)
    redis.call('ZREM', open, id)
    return { status or 'UNKNOWN' }
  end
  local lease = tonumber(redis.call('ZSCORE', leases, id))
  if status == 'PENDING' or (lease and lease > now) then return { 'BUSY' } end
  if tonumber(field('losses') or 0) + 1 < tonumber(ARGV[4]) then
    requeue(ARGV[5], 'losses', ARGV[6])
    return { 'REQUEUED' }
  end
  redis.call('HSET', task, 'status', 'FAILED', 'message', ARGV[8], 'error', ARGV[8],
             'error_details', ARGV[9], 'updated_ms', now)
  redis.call('HINCRBY', task, 'attempt', 1)  -- the lost worker, should it wake, is fenced off
  finish(ARGV[7])
  emit('FAILED')
  return { 'FAILED' }
end

return redis.error_reply('unknown operation ' .. tostring(operation))
