#!/usr/bin/ruby
# Sidekiq (the free one: a job that a worker has taken is lost when that worker dies), one process.
#
#   sidekiq_rival.rb submit SECONDS [BATCH]   one client: jobs a second
#   sidekiq_rival.rb drain JOBS               jobs a second by one process with 10 threads
#   sidekiq_rival.rb latency RATE SECONDS     median and 99th percentile, ms
#   sidekiq_rival.rb fill JOBS                put jobs there
#
# REDIS_URL says where. Warnings of the Redis gem go to stderr.
require "sidekiq"

Sidekiq.logger.level = Logger::ERROR if Sidekiq.logger
PAYLOAD = "x" * 96

def now
  Process.clock_gettime(Process::CLOCK_MONOTONIC)
end

class Noop
  include Sidekiq::Worker
  def perform(_data); end
end

class Stamp
  include Sidekiq::Worker
  def perform(sent)
    took = now - sent
    Sidekiq.redis { |server| server.rpush("bench:latency", took) }
  end
end

def worker
  spawn("/usr/bin/sidekiq", "-q", "default", "-c", "10", "-r", File.expand_path(__FILE__),
        out: "/dev/null", err: "/dev/null")
end

def stop(pid)
  Process.kill("TERM", pid)
  Process.wait(pid)
end

def push_many(count)
  Sidekiq::Client.push_bulk("class" => Noop, "args" => Array.new(count) { [PAYLOAD] })
end

def fill(jobs)
  (jobs / 1000).times { push_many(1000) }
end

# A taken job is nowhere in Redis, so that the end is when the list is empty.
def left
  Sidekiq.redis { |server| server.llen("queue:default") }
end

def drain(jobs)
  fill(jobs)
  pid = worker
  sleep 0.002 while left > jobs - 100
  began = now
  first = left
  sleep 0.005 while left.positive?
  puts first / (now - began)
  stop(pid)
end

def latency(rate, seconds)
  pid = worker
  sleep 3
  began = now
  (rate * seconds).to_i.times do |number|
    wait = began + number / rate - now
    sleep wait if wait.positive?
    Stamp.perform_async(now)
  end
  sleep 0.5
  stop(pid)
  found = Sidekiq.redis { |server| server.lrange("bench:latency", 50, -1) }.map { |t| t.to_f * 1000 }.sort
  puts "#{found[found.size / 2]} #{found[found.size * 99 / 100]}"
end

def submit(seconds, batch)
  began = now
  done = 0
  while now - began < seconds
    batch > 1 ? push_many(batch) : Noop.perform_async(PAYLOAD)
    done += batch
  end
  puts done / (now - began)
end

if $PROGRAM_NAME == __FILE__
  first = ARGV[1].to_f
  case ARGV[0]
  when "submit" then submit(first, (ARGV[2] || 1).to_i)
  when "fill" then fill(first.to_i)
  when "drain" then drain(first.to_i)
  else latency(first, ARGV[2].to_f)
  end
end
