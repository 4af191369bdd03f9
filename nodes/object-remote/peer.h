/* peer.h: the parts of remora-object-remote. The hub speaks Remora's protocol to it, it speaks Object::Remote's to the Perl process that it started: lines of
 * JSON. Everything runs on the main thread.
 *
 * An object of Perl's is a `thing`: lent to the near side as any object is, and freed over there when nobody uses it here any more. What the near side lends is a
 * `lent_row`: a number that Perl knows, and a proxy. A call that waits for Perl's answer is a `pending`; its number is one of ours too. */
#ifndef REMORA_PEER_H
#define REMORA_PEER_H

#include "hub.h"

#define PEER_SENDER 1 /* our object that Perl asks for modules */
#define PEER_NEAR 2   /* our object that stands for the connection itself */
#define PEER_FIRST 3
#define PEER_HELPER "Remora::ObjectRemote"

typedef enum thing_kind {
  THING_OBJECT,
  THING_CODE,
  THING_FILE,
  THING_HASH, /* tied ones: others are values */
  THING_ARRAY,
  THING_CLASS, /* these have no number in Perl: a class, one of its methods, where an iteration stands */
  THING_METHOD,
  THING_KEYS,
  THING_ITEMS
} thing_kind;

typedef struct thing {
  thing_kind kind;
  int64_t id;    /* in Perl's table; 0 where there is none */
  int64_t count; /* how often Perl has sent it */
  char *class, *method;
  remora_object *over; /* what is iterated */
  remora_value *last;  /* the key before */
  int64_t at, size;
} thing;

typedef struct lent_row {
  remora_proxy *proxy;   /* or NULL: */
  remora_object *bounce; /* what Perl gets as its own code (file, hash, array) again: we call it for Perl */
  bool code;             /* Perl calls it by the method `call` */
  uint64_t id;
} lent_row;

/* What is made of Perl's answer. */
typedef enum want {
  WANT_VALUE,
  WANT_NULL,
  WANT_BOOL,
  WANT_NEW,
  WANT_SUB,    /* can_on: the function... */
  WANT_CLASS,  /* ...or a class of that name */
  WANT_METHOD, /* can_on: Class->method */
  WANT_SIZE,   /* of an array that is going to be iterated */
  WANT_ITEM,
  WANT_KEY,
  WANT_LINE,
  WANT_ABOUT,  /* an object was thrown: what is it? */
  WANT_BOUNCE, /* Perl's answer goes to Perl */
  WANT_LOADER, /* what asks us for modules, as long as it lives */
  WANT_BEGIN
} want;

typedef struct pending {
  struct pending *older, *newer;
  uint64_t id;
  want want;
  remora_event *event; /* the near side's call; owned; NULL for our own */
  uint64_t chain;
  char *name;           /* of the class or function */
  remora_object *thing; /* the iterator; holds a reference */
  remora_value *future; /* WANT_BOUNCE: Perl's */
} pending;

typedef struct peer {
  pid_t pid;
  int to, from, errors;
  bytes out, in;
  size_t looked;    /* bytes of `in` that hold no newline */
  bool ended;       /* its output is at its end */
  char why[128];    /* then: what became of it */
  bool helped;      /* Remora::ObjectRemote is there */
  remora_value *is; /* what it says of the process */
  remora_value *loader;
  idmap things;    /* Perl's number and kind -> thing */
  idmap lent;      /* our number -> lent_row */
  idmap shared;    /* without the helper: proxy -> lent_row */
  idmap waiting;   /* our number -> pending */
  pending *latest; /* the newest of them */
  bytes freed;     /* without the helper: what is freed when nothing is waited for */
  uint64_t last_id;
  uint64_t longest; /* line that is taken */
  remora_proxy *near_root;
} peer;

extern peer perl;

/* --- wire.c: texts and values --- */
int wire_put(const char *text, size_t length);
int wire_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
int wire_string(const char *text, size_t length);
/* A value as their JSON. 0; -1 with REMORA_E_VALUE: it cannot cross. */
int wire_value(const remora_value *v, unsigned depth, remora_error **err);
/* *new*: a line as a value, tags and all; NULL with *err. */
remora_value *wire_parse(const char *line, size_t length, remora_error **err);
/* *new*: elements of a line from number `from` on, with references in place of tags: a list. NULL with *err. */
remora_value *wire_take(const remora_value *line, size_t from, remora_error **err);
remora_value *thing_value(thing *t);    /* *new*; steals t */
thing *thing_of(const remora_value *v); /* *borrowed*; NULL: it is none */
/* Gives back what was lent since that number: the message could not be finished. */
void lent_forget(uint64_t since);
void lent_drop(uint64_t id);
/* Without the helper: frees what could not be freed while Perl had something to answer. */
void wire_frees(void);

/* --- perl.c: calls to Perl, and what comes from it --- */
pending *pending_new(want w, remora_event *event);
void pending_free(pending *p);
/* Calls Perl's object, or the handler of class calls for 0. words: method and texts before the arguments, NULL-terminated. args from number `skip` on, and keywords. Owns p,
 * which fails if an argument cannot be sent. */
void perl_call(pending *p, int64_t id, bool list, const char *const *words, const remora_value *args, size_t skip);
/* Answers a call of Perl's: with values, with what is thrown there (a text or an object of its own), with words. The first two: -1 if they cannot be sent, then nothing was. */
int perl_answer(const remora_value *future, const remora_value *values, remora_error **err);
int perl_answer_thrown(const remora_value *future, const remora_value *thrown);
void perl_answer_error(const remora_value *future, const char *words);
void perl_line(const char *line, size_t length);

/* --- near.c: what the near side wants, and what it gets --- */
extern const remora_class near_root_class;
void near_event(remora_event *e);
/* Ends p with Perl's values (a list, stolen), or with what it threw. */
void near_done(pending *p, remora_value *values);
void near_failed(pending *p, const remora_value *why);
void near_fail(pending *p, remora_error *err);

#endif
