-- How many trainings a caller has started within the last hour.
--
-- KEYS   1 hash    minute (of the Redis clock, since 1970) to the trainings accepted in it
-- ARGV   1 reserve 2 wanted 3 most per hour   -> granted, minute, seconds until one is free
--        1 settle  2 unused 3 minute             (negative: started beyond)
--
-- A minute counts until it lies a whole hour back, so no hour at all holds more than the most.

local HOUR = 60  -- minutes

if ARGV[1] == 'settle' then
  local left = tonumber(redis.call('HGET', KEYS[1], ARGV[3]) or 0) - tonumber(ARGV[2])
  if left > 0 then
    redis.call('HSET', KEYS[1], ARGV[3], left)
  else
    redis.call('HDEL', KEYS[1], ARGV[3])
  end
  return { 0, 0, 0 }
end

local wanted, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local seconds = tonumber(redis.call('TIME')[1])
local minute = math.floor(seconds / 60)
local used, counted = 0, {}
local entries = redis.call('HGETALL', KEYS[1])
for i = 1, #entries, 2 do
  local at, number = tonumber(entries[i]), tonumber(entries[i + 1])
  if at < minute - HOUR then
    redis.call('HDEL', KEYS[1], entries[i])
  else
    used = used + number
    table.insert(counted, { at, number })
  end
end

local granted = math.max(0, math.min(wanted, most - used))
if granted > 0 then
  redis.call('HINCRBY', KEYS[1], minute, granted)
  redis.call('EXPIRE', KEYS[1], 2 * HOUR * 60)
end

local free_in = 0
if granted < wanted then
  table.sort(counted, function(a, b) return a[1] < b[1] end)
  local still = used + granted
  for _, entry in ipairs(counted) do
    free_in = (entry[1] + HOUR + 1) * 60 - seconds
    still = still - entry[2]
    if still < most then break end
  end
  if free_in <= 0 then free_in = (HOUR + 1) * 60 end
end
return { granted, minute, free_in }
