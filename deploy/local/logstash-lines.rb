# Has deploy/elk/logstash/line.rb read every line of deploy/elk/lines.json, and compares what it makes of them with what is expected there:
# logstash-lines.rb LINE.RB LINES.JSON. Run by JRuby, as in Logstash; of that only what the script asks of it stands here.
require "json"

module LogStash
  # A time, as it is written.
  class Timestamp
    def initialize(text)
      @text = text
    end

    def to_s
      @text
    end
  end

  # Fields by their references: `[log][offset]`, or a name alone.
  class Event
    attr_reader :fields

    def initialize(fields)
      @fields = fields
    end

    def get(reference)
      path(reference).reduce(@fields) { |at, name| at.is_a?(Hash) ? at[name] : nil }
    end

    def set(reference, value)
      raise TypeError, "@timestamp is no text" if reference == "@timestamp" && !value.is_a?(Timestamp)
      *above, last = path(reference)
      above.reduce(@fields) { |at, name| at[name] ||= {} }[last] = value
    end

    def remove(reference)
      *above, last = path(reference)
      at = above.reduce(@fields) { |within, name| within && within[name] }
      at && at.delete(last)
    end

    private

    # What begins with a bracket is a path; another bracket is an error there.
    def path(reference)
      return reference[1..-2].split("][") if reference =~ /\A(\[[^\[\]]+\])+\z/
      raise "Invalid FieldReference: `#{reference}`" if reference =~ /[\[\]]/
      [reference]
    end
  end
end

script, table = ARGV
load script
table = JSON.parse(File.read(table, encoding: "UTF-8"))
wrong = table["lines"].map do |one|
  sent = JSON.parse(JSON.generate(table["event"].merge("message" => one["line"]).merge(one["event"] || {})))
  sent["@timestamp"] = LogStash::Timestamp.new(sent["@timestamp"])
  fields = filter(LogStash::Event.new(sent)).fetch(0).fields
  metadata = fields.delete("@metadata")
  fields["@timestamp"] = fields["@timestamp"].to_s
  is = { "index" => metadata["index"], "id" => metadata["id"], "document" => fields }
  why = fields.fetch("error", {}).delete("message") if is["index"] == "qflow-dead-letter"
  wanted = { "index" => one["index"], "id" => one["id"], "document" => one["document"] }
  if is != wanted
    "#{one["line"].inspect}: #{JSON.pretty_generate(is)} and not #{JSON.pretty_generate(wanted)}"
  elsif is["index"] == "qflow-dead-letter" && why.to_s.empty?
    "#{one["line"].inspect}: it does not say why"
  end
end.compact
abort wrong.join("\n") unless wrong.empty?
puts "logstash's script: #{table["lines"].size} lines: SUCCESS"
