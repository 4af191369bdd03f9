# The Ruby package: capi.so and ruby/lib, together in build/ruby.
find_program(SWIG_EXECUTABLE swig REQUIRED)
find_program(REMORA_RUBY_EXECUTABLE NAMES ruby DOC "the Ruby that the package is built for")
if(NOT REMORA_RUBY_EXECUTABLE)
  message(FATAL_ERROR "There is no ruby in PATH; install it, name it with -DREMORA_RUBY_EXECUTABLE=, or leave Ruby out with -DREMORA_RUBY=OFF")
endif()

# ruby_config(VARIABLE KEY): what RbConfig says.
function(ruby_config variable key)
  execute_process(COMMAND ${REMORA_RUBY_EXECUTABLE} -rrbconfig -e "print RbConfig::CONFIG['${key}']" OUTPUT_VARIABLE value RESULT_VARIABLE status)
  if(status)
    message(FATAL_ERROR "${REMORA_RUBY_EXECUTABLE} does not run; leave Ruby out with -DREMORA_RUBY=OFF")
  endif()
  set(${variable} "${value}" PARENT_SCOPE)
endfunction()
ruby_config(ruby_version ruby_version)
ruby_config(ruby_headers rubyhdrdir)
ruby_config(ruby_arch_headers rubyarchhdrdir)
if(ruby_version VERSION_LESS 2.7)
  message(FATAL_ERROR "${REMORA_RUBY_EXECUTABLE} is version ${ruby_version}, and 2.7 is needed; leave Ruby out with -DREMORA_RUBY=OFF")
endif()
if(NOT EXISTS ${ruby_headers}/ruby.h)
  message(FATAL_ERROR "The headers of ${REMORA_RUBY_EXECUTABLE} are missing; install them or leave Ruby out with -DREMORA_RUBY=OFF")
endif()

set(ruby_dir ${CMAKE_BINARY_DIR}/ruby)
set(ruby_swig ${PROJECT_SOURCE_DIR}/swig)
set(ruby_wrapper ${CMAKE_BINARY_DIR}/swig/remora_ruby_wrap.c)
file(MAKE_DIRECTORY ${ruby_dir}/remora ${CMAKE_BINARY_DIR}/swig)
add_custom_command(
  OUTPUT ${ruby_wrapper}
  COMMAND ${SWIG_EXECUTABLE} -ruby -Wall -Werror -I${PROJECT_SOURCE_DIR}/capi/include -o ${ruby_wrapper} ${ruby_swig}/ruby.i
  DEPENDS ${ruby_swig}/ruby.i ${ruby_swig}/remora.i ${PROJECT_SOURCE_DIR}/capi/include/remora.h
  VERBATIM)

set(ruby_sources ${ruby_swig}/ruby_values.c ${ruby_swig}/ruby_types.c ${ruby_swig}/ruby_events.c)
add_library(remora_ruby MODULE ${ruby_wrapper} ${ruby_sources})
set_source_files_properties(${ruby_wrapper} PROPERTIES COMPILE_OPTIONS "-w")
set_source_files_properties(${ruby_sources} PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra")
target_include_directories(remora_ruby PRIVATE ${ruby_swig} ${PROJECT_SOURCE_DIR}/capi/include)
target_include_directories(remora_ruby SYSTEM PRIVATE ${ruby_headers} ${ruby_arch_headers})
if(ruby_version VERSION_GREATER_EQUAL 3.0)
  target_compile_definitions(remora_ruby PRIVATE HAVE_RB_ENC_INTERNED_STR)
endif()
# Ruby's own symbols come from the interpreter that loads it.
target_link_libraries(remora_ruby PRIVATE remora)
target_compile_options(remora_ruby PRIVATE -fvisibility=hidden)
set_target_properties(remora_ruby PROPERTIES INSTALL_RPATH ${CMAKE_INSTALL_FULL_LIBDIR} PREFIX "" OUTPUT_NAME capi SUFFIX .so
                      LIBRARY_OUTPUT_DIRECTORY ${ruby_dir}/remora)
add_custom_target(remora_ruby_package ALL
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/ruby/lib ${ruby_dir}
  DEPENDS remora_ruby)

# Where this Ruby looks for what a distribution does not bring, if that is below the prefix; else below its lib.
ruby_config(ruby_vendor vendorarchdir)
cmake_path(IS_PREFIX CMAKE_INSTALL_PREFIX "${ruby_vendor}" NORMALIZE ruby_below)
if(ruby_below)
  file(RELATIVE_PATH ruby_vendor ${CMAKE_INSTALL_PREFIX} ${ruby_vendor})
else()
  ruby_config(ruby_site sitearchdir)
  cmake_path(IS_PREFIX CMAKE_INSTALL_PREFIX "${ruby_site}" NORMALIZE ruby_below)
  if(ruby_below)
    file(RELATIVE_PATH ruby_vendor ${CMAKE_INSTALL_PREFIX} ${ruby_site})
  else()
    set(ruby_vendor lib/ruby/vendor_ruby)
  endif()
endif()
set(REMORA_RUBY_DIR "${ruby_vendor}" CACHE STRING "where the Ruby package goes, below the prefix")
install(DIRECTORY ${ruby_dir}/ DESTINATION ${REMORA_RUBY_DIR})

# `make gem` in the build tree: a gem that builds against an installed libremora, without SWIG.
add_custom_target(gem
  COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/ruby ${CMAKE_BINARY_DIR}/gem
  COMMAND ${CMAKE_COMMAND} -E copy ${ruby_wrapper} ${ruby_sources} ${ruby_swig}/ruby_values.h ${ruby_swig}/ruby_types.h ${CMAKE_BINARY_DIR}/gem/ext/remora
  COMMAND ${CMAKE_COMMAND} -E chdir ${CMAKE_BINARY_DIR}/gem gem build --quiet remora.gemspec
  DEPENDS ${ruby_wrapper})
