# frozen_string_literal: true

Gem::Specification.new do |spec|
  spec.name = "remora"
  spec.version = "0.1.0"
  spec.summary = "REMote Objects, Run Anywhere: call objects on other hosts, with nothing installed there"
  spec.authors = ["The Remora authors"]
  spec.license = "MIT"
  spec.required_ruby_version = ">= 2.7"
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "ext/remora/*.{rb,c,h}", "sig/*.rbs"] }
  spec.extensions = ["ext/remora/extconf.rb"]
  spec.requirements = ["libremora 0.1 (found by pkg-config)"]
  spec.metadata = { "rubygems_mfa_required" => "true" }
end
