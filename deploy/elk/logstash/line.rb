# What becomes of a line that Filebeat sends: what Elasticsearch's ingest pipeline makes of it (deploy/elk/ingest-pipeline.json), by the same
# rules and with the same ids. deploy/elk/lines.json holds both to the same documents. All that differs is `@timestamp`, which Logstash 7
# keeps to the millisecond; `timestamp` has all of it.
require "digest"
require "json"

# An object of which a name is there twice is none.
class Named < Hash
  def []=(name, value)
    raise ArgumentError, "`#{name}` is there twice" if key?(name)
    super
  end
end

# The same as Logstash takes it.
def plain(value)
  case value
  when Hash then value.map { |name, one| [name, plain(one)] }.to_h
  when Array then value.map { |one| plain(one) }
  else value
  end
end

# The one object that a line is. In brackets, since what stands behind an object would else be another matter.
def object(message)
  all = JSON.parse("[" + message + "]", object_class: Named)
  raise ArgumentError, "the line is not one JSON object" unless all.size == 1 && all[0].is_a?(Hash)
  line = plain(all[0])
  raise ArgumentError, "the line has no @timestamp" unless line["@timestamp"].is_a?(String)
  java.time.ZonedDateTime.parse(line["@timestamp"])
  line.each_key do |name|
    raise ArgumentError, "a field may not be named #{name}" if name.start_with?("_") || name =~ /[\[\]]/ || name == "@metadata"
  end
  line
end

def id(*parts)
  Digest::SHA256.hexdigest(parts.map { |part| part.nil? ? "null" : part.to_s }.join("|"))
end

def register(_)
end

def filter(event)
  message, host = event.get("message"), event.get("[host][name]")
  file, offset = event.get("[log][file]"), event.get("[log][offset]")
  begin
    line = object(message)
    time = LogStash::Timestamp.new(line.delete("@timestamp"))
    read = { "file" => file, "offset" => offset }
    %w[agent ecs host input log message tags @version].each { |name| event.remove(name) }
    event.set("@timestamp", time)
    line.each { |name, value| event.set(name, value) }
    event.set("qflow.read", read)
    event.set("host.name", host) unless host.nil?
    event.set("[@metadata][index]", "qflow-logs")
    event.set("[@metadata][id]", id(host, offset, message))
  rescue StandardError, java.lang.Exception => error
    # A file that was rotated is the one that it was, and what Docker wrote has a time.
    path = file && file["path"] && file["path"].sub(/(?<=.)\.[0-9]+\z/, "")
    time = event.get("stream").nil? ? "" : event.get("@timestamp")
    event.set("[@metadata][index]", "qflow-dead-letter")
    event.set("[@metadata][id]", id(host, path, offset, time, message))
    event.set("[error][type]", "ingest")
    event.set("[error][message]", error.message)
  end
  [event]
end
