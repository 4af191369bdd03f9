# frozen_string_literal: true

# Builds the extension against an installed libremora, found by pkg-config. The C sources lie beside this file (in the gem, with the wrapper that SWIG made)
# or in the source tree's swig/, and then SWIG makes the wrapper.
require "mkmf"

abort "libremora is missing: install it, and let PKG_CONFIG_PATH lead to its remora.pc" unless pkg_config("remora")
have_func("rb_enc_interned_str", "ruby/encoding.h")

SOURCES = %w[ruby_values.c ruby_types.c ruby_events.c].freeze
WRAPPER = "remora_ruby_wrap.c"
in_gem = File.exist?(File.join(__dir__, WRAPPER))
sources = in_gem ? __dir__ : File.expand_path("../../../swig", __dir__)

unless in_gem
  swig = find_executable(ENV["SWIG"] || "swig") or abort "swig is missing, which makes the wrapper in a source tree"
  header = `pkg-config --variable=includedir remora`.chomp
  system(swig, "-ruby", "-I#{header}", "-o", WRAPPER, File.join(sources, "ruby.i")) or abort "swig failed"
end

$srcs = [WRAPPER, *SOURCES]
$VPATH << sources
$INCFLAGS << " -I#{sources}"
$CFLAGS << " -fvisibility=hidden"
create_makefile("remora/capi")
