-- Task records: every write to one happens here, atomically, in one round trip.
--
-- KEYS   1 task      hash    the record
--        2 events    list    one JSON text per change; the index in the list is the event's id
--        3 index     zset    task id by creation time: every record
--        4 open      zset    task id by creation time: records that have not ended
--        5 leases    zset    task id by the time its worker's lease ends
--        6 waiting   prefix of a zset per lane: PENDING task by the time its message is due
--        7 live      string  the open task of the record's meter
--        8 durations hash    stage to its mean duration in ms over recent tasks
--        9 dead      zset    FAILED task by the time it failed: the latest of its meter
--       10 dead_of   hash    type/meter to its dead letter
--       11 claimed   hash    lane to the latest due time of a task that was claimed
--       12 batch     prefix of a batch's keys:
--              BATCH        hash  what was asked, when; SUCCESS, FAILED, CANCELLED: counts
--              BATCH:tasks  list  its tasks in order
--              BATCH:open   set   those that have not ended
--       13 withdraw zset    task by the time it ended without success with a model on its way
-- ARGV   1 operation, 2 channel of the task's events, 3 task id, 4 token of this write,
--        5.. the operation's own
--
-- Fencing: a worker's write carries the attempt it claimed. Once the task has been given to
-- somebody else, or has ended, the attempt no longer matches and the write is refused.
-- A write whose answer was lost is sent again with the same token and answered as before.
-- The clock is Redis's own, so that workers on several machines agree.

local task, events, index, open, leases, waiting, live, durations, dead, dead_of, claimed, batch,
  withdraw = unpack(KEYS)
local operation, channel, id, token = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local TERMINAL = { SUCCESS = true, FAILED = true, CANCELLED = true }
local PIPELINE = { 'STARTED', 'CONNECTING', 'FETCHING_DATA', 'VALIDATING_DATA',
                   'TRAINING_MODEL', 'SAVING_MODEL' }
local NEWEST_WEIGHT = 0.3  -- of the latest task in a stage's mean duration

local function field(name) return redis.call('HGET', task, name) end

-- A record of an earlier release has no lane.
local function lane_key() return waiting .. (field('lane') or 'single') end

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

local function each_batch(action)
  for name in string.gmatch(redis.call('HGET', task, 'batches') or '', '[^,]+') do
    action(batch .. name)
  end
end

-- Make a task, which may be another batch's already, a member of a batch.
local function join_batch(name, record)
  if name == '' then return end
  local joined = redis.call('HGET', record, 'batches') or ''
  if string.find(',' .. joined .. ',', ',' .. name .. ',', 1, true) then return end
  redis.call('HSET', record, 'batches', joined == '' and name or joined .. ',' .. name)
  local member = redis.call('HGET', record, 'task_id')
  redis.call('RPUSH', batch .. name .. ':tasks', member)
  redis.call('SADD', batch .. name .. ':open', member)
  for _, suffix in ipairs({ '', ':tasks', ':open' }) do
    redis.call('PERSIST', batch .. name .. suffix)
  end
end

local function forget_dead_letter_of_meter()
  local meter = field('meter_type') .. '/' .. field('meter_id')
  local earlier = redis.call('HGET', dead_of, meter)
  if earlier then
    redis.call('ZREM', dead, earlier)
    redis.call('HDEL', dead_of, meter)
  end
  return meter
end

-- What a task's end means for everything that names it.
local function finish(status, retention_ms)
  redis.call('ZREM', open, id)
  redis.call('ZREM', leases, id)
  redis.call('ZREM', lane_key(), id)
  if redis.call('GET', live) == id then redis.call('DEL', live) end
  redis.call('HDEL', task, 'estimated_ms')
  redis.call('PEXPIRE', task, retention_ms)
  redis.call('PEXPIRE', events, retention_ms)
  if status == 'FAILED' then
    local meter = forget_dead_letter_of_meter()
    redis.call('ZADD', dead, now, id)
    redis.call('HSET', dead_of, meter, id)
  elseif status == 'SUCCESS' then
    forget_dead_letter_of_meter()
  end
  if status ~= 'SUCCESS' and field('versions') then redis.call('ZADD', withdraw, now, id) end
  each_batch(function(of_batch)
    if redis.call('SREM', of_batch .. ':open', id) == 1 then
      redis.call('HINCRBY', of_batch, status, 1)
      redis.call('HSET', of_batch, 'ended_ms', now)
    end
    if redis.call('SCARD', of_batch .. ':open') == 0 then
      for _, suffix in ipairs({ '', ':tasks' }) do
        redis.call('PEXPIRE', of_batch .. suffix, retention_ms)
      end
    end
  end)
end

-- Back to PENDING for another attempt.
local function requeue(message, counter, due_ms)
  redis.call('HINCRBY', task, 'attempt', 1)
  redis.call('HINCRBY', task, counter, 1)
  redis.call('HDEL', task, 'estimated_ms')
  redis.call('HSET', task, 'status', 'PENDING', 'progress', 0, 'message', message,
             'updated_ms', now, 'stage_ms', now)
  redis.call('ZREM', leases, id)
  redis.call('ZADD', lane_key(), now + due_ms, id)
  emit('PENDING')
end

local function claim_answer()
  local values = redis.call('HMGET', task, 'attempt', 'retries', 'meter_id', 'meter_type',
                            'options', 'versions', 'lane')
  return { 'CLAIMED', values[1], values[2] or '0', values[3], values[4], values[5],
           values[6] or '', values[7] or 'single' }
end

-- Why a fenced write may not happen, or nil.
local function refusal(attempt)
  local status = field('status')
  if not status then return 'UNKNOWN' end
  if TERMINAL[status] then return status end
  if field('attempt') ~= attempt then return 'STALE' end
  return nil
end

local is_repeated = token ~= '' and field('token') == token

if operation == 'admit' then
  -- ARGV 5 record prefix, 6 lane, 7 batch or '', 8.. field, value, ...
  local existing = redis.call('GET', live)
  if existing then
    local record = ARGV[5] .. existing
    local status = redis.call('HGET', record, 'status')
    if status and not TERMINAL[status] then
      join_batch(ARGV[7], record)
      return { 'EXISTING', existing }
    end
  end
  redis.call('HSET', task, 'task_id', id, 'lane', ARGV[6], 'created_ms', now, 'updated_ms', now,
             'stage_ms', now, unpack(ARGV, 8))
  redis.call('ZADD', index, now, id)
  redis.call('ZADD', open, now, id)
  redis.call('ZADD', lane_key(), now, id)
  redis.call('SET', live, id)
  join_batch(ARGV[7], task)
  emit('PENDING')
  return { 'ADMITTED', id }

elseif operation == 'resent' then
  if not field('status') then return { 'UNKNOWN' } end
  redis.call('ZADD', lane_key(), 'XX', now, id)
  return { 'OK' }

elseif operation == 'claim' then
  -- ARGV 5 worker, 6 lease_ms, 7 message
  if is_repeated then return claim_answer() end
  local status = field('status')
  if not status then return { 'UNKNOWN' } end
  if TERMINAL[status] then return { status } end
  if status ~= 'PENDING' then return { 'BUSY' } end
  local due = tonumber(redis.call('ZSCORE', lane_key(), id) or 0)
  local lane = field('lane') or 'single'
  if due > tonumber(redis.call('HGET', claimed, lane) or 0) then
    redis.call('HSET', claimed, lane, due)
  end
  redis.call('ZREM', lane_key(), id)
  redis.call('HSETNX', task, 'started_ms', now)
  redis.call('HSET', task, 'status', 'STARTED', 'progress', 0, 'message', ARGV[7],
             'worker', ARGV[5], 'updated_ms', now, 'stage_ms', now, 'token', token)
  redis.call('ZADD', leases, now + ARGV[6], id)
  each_batch(function(of_batch) redis.call('HSETNX', of_batch, 'started_ms', now) end)
  local left = remaining('STARTED', 0)
  if left then redis.call('HSET', task, 'estimated_ms', math.floor(now + left)) end
  emit('STARTED')
  return claim_answer()

elseif operation == 'renew' then
  -- ARGV 5 attempt, 6 lease_ms
  local refused = refusal(ARGV[5])
  if refused then return { refused } end
  redis.call('ZADD', leases, 'XX', now + ARGV[6], id)
  return { 'OK' }

elseif operation == 'advance' then
  -- ARGV 5 attempt ('*': anybody's), 6 stage, 7 stages it may be entered from, 8 progress ('':
  --      keep), 9 message, 10 fraction of the stage done, 11 retention_ms, 12.. field, value, ...
  if is_repeated then return { 'OK' } end
  local attempt, stage, progress = ARGV[5], ARGV[6], ARGV[8]
  local refused = refusal(attempt == '*' and field('attempt') or attempt)
  if refused then return { refused } end
  local status = field('status')
  if not string.find(',' .. ARGV[7] .. ',', ',' .. status .. ',', 1, true) then
    return { 'FORBIDDEN', status }
  end
  if stage ~= status then
    if not (stage == 'FAILED' or stage == 'CANCELLED') then learn_duration(status) end
    redis.call('HSET', task, 'stage_ms', now)
  end
  if progress == '' then progress = field('progress') end
  progress = math.max(tonumber(progress), tonumber(field('progress')))
  redis.call('HSET', task, 'status', stage, 'progress', progress, 'message', ARGV[9],
             'updated_ms', now, 'token', token, unpack(ARGV, 12))
  local left = remaining(stage, tonumber(ARGV[10]))
  if left then redis.call('HSET', task, 'estimated_ms', math.floor(now + left)) end
  if TERMINAL[stage] then finish(stage, ARGV[11]) end
  emit(stage)
  return { 'OK' }

elseif operation == 'retry' then
  -- ARGV 5 attempt, 6 message, 7 due_ms, 8 counter
  if is_repeated then return { 'OK' } end
  local refused = refusal(ARGV[5])
  if refused then return { refused } end
  redis.call('HSET', task, 'token', token)
  requeue(ARGV[6], ARGV[8], ARGV[7])
  return { 'OK' }

elseif operation == 'release_lost' then
  -- ARGV 5 most losses, 6 message of a requeue, 7 due_ms, 8 retention_ms, 9 error,
  --      10 error_details
  local status = field('status')
  if not status or TERMINAL[status] then
    redis.call('ZREM', leases, id)
    redis.call('ZREM', open, id)
    return { status or 'UNKNOWN' }
  end
  local lease = tonumber(redis.call('ZSCORE', leases, id))
  if status == 'PENDING' or (lease and lease > now) then return { 'BUSY' } end
  local versions = field('versions') or ''
  if tonumber(field('losses') or 0) + 1 < tonumber(ARGV[5]) then
    requeue(ARGV[6], 'losses', ARGV[7])
    return { 'REQUEUED', versions }
  end
  redis.call('HSET', task, 'status', 'FAILED', 'message', ARGV[9], 'error', ARGV[9],
             'error_details', ARGV[10], 'updated_ms', now)
  redis.call('HINCRBY', task, 'attempt', 1)  -- the lost worker, should it wake, is fenced off
  finish('FAILED', ARGV[8])
  emit('FAILED')
  return { 'FAILED', versions }

elseif operation == 'adopt' then
  -- An open record that is in no list, as an earlier release leaves it: enter it where it belongs.
  local status = field('status')
  if not status or TERMINAL[status] then
    redis.call('ZREM', open, id)
    return { status or 'UNKNOWN' }
  end
  if status == 'PENDING' then
    redis.call('ZADD', lane_key(), 'NX', now, id)
  else
    redis.call('ZADD', leases, 'NX', now, id)
  end
  return { 'OK' }
end

return redis.error_reply('unknown operation ' .. tostring(operation))
