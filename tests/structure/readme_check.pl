# readme_check.pl README INCLUDE_FOLDER OUT_FOLDER: the part of readme_check.sh that reads. Writes one .cpp
# for each C++ block, named by kind and line, and checks tables itself; also the links and the names of
# files in the other documents.
use strict;
use warnings;

my ($readme, $include, $out) = @ARGV;
my $failed = 0;

sub verdict {
  my ($good, $what, $why) = @_;
  print $good ? "ok README.md $what\n" : "FAILED README.md $what: $why\n";
  $failed ||= !$good;
}

sub slurp {
  my ($name) = @_;
  open my $in, '<', $name or die "cannot read $name\n";
  local $/;
  return scalar <$in>;
}

# --- snippets -------------------------------------------------------------------------------------
my $includes = join '', map { "#include <$_>\n" }
  qw(cassert deepseek/deepseek.hpp deepseek/testing/double.hpp future iostream map);
my $coroutine = <<'CPP';
struct Snippet {
  struct promise_type {
    Snippet get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
CPP

my @lines = split /\n/, slurp($readme), -1;
my ($kind, $declarations, $blocks) = ('', '', 0);
for (my $i = 0; $i < @lines; ++$i) {
  if ($lines[$i] =~ /^<!-- snippet: (\w+) -->$/) { $kind = $1; next }
  next unless $lines[$i] =~ /^```(?:cpp|c\+\+|C\+\+)\s*$/;
  my $line = $i + 1;
  my $text = "#line " . ($line + 1) . " \"README.md\"\n";
  while (++$i < @lines && $lines[$i] !~ /^```/) { $text .= "$lines[$i]\n" }
  ++$blocks;
  my $client = "  auto client = deepseek::DeepSeekClient::from_environment();\n";
  my %whole = (
    program => $text,
    declarations => "$includes$declarations$text",
    statements => "$includes${declarations}void snippet() {\n$client$text}\n",
    coroutine => "$includes#include <deepseek/coro.hpp>\n$declarations${coroutine}Snippet snippet() {\n$client$text}\n",
  );
  if (!exists $whole{$kind}) {
    verdict(0, "block in line $line", 'no "<!-- snippet: KIND -->" stands before it');
  } else {
    open my $to, '>', sprintf('%s/line_%04d_%s.cpp', $out, $line, $kind) or die "cannot write to $out\n";
    print $to $whole{$kind};
    $declarations .= $text if $kind eq 'declarations';
  }
  $kind = '';
}
verdict($blocks >= 5, "has $blocks C++ blocks", 'fewer than there should be: is the fence still ```cpp?');

# --- tables ---------------------------------------------------------------------------------------
my $text = join "\n", @lines;

# Every struct of options in the public headers has a table, and so has every struct that such a one holds; a new one is
# found by its name. Not options, but data or a value:
my %no_options = map { $_ => 1 } qw(HttpHeader Money RecordedCall);
my %also_options = map { $_ => 1 } qw(JwtRules);

sub public_structs { # name => [body, the struct it derives from]
  my %found;
  for my $header (split /\n/, qx(find $include -name '*.hpp' ! -path '*/detail/*' ! -path '*/impl/*')) {
    my $code = slurp($header);
    $found{$1} = $3 while $code =~ /^struct (\w+)( : \w+)? \{\n(.*?)^\};/msg;
  }
  return %found;
}

# The members of a struct in their order: [name, type, default].
sub members_of {
  my ($body) = @_;
  $body =~ s{(?:^|\s)//.*}{}gm;
  $body =~ s/\)[\w\s]*\{[^{}]*\}/);/g; # a function with its body
  my @members;
  for my $statement (split /;/, $body) {
    $statement =~ s/^\s+|\s+$//g;
    push @members, [$2, $1, $3 // $4 // '']
      if $statement =~ /^([^=]*[\w>&*])\s+(\w+)\s*(?:=\s*(.*)|\{(.*)\}|)$/s && $2 !~ /^(?:const|noexcept|operator)$/;
  }
  return @members;
}

my %seconds = (nanoseconds => 1e-9, milliseconds => 1e-3, seconds => 1, minutes => 60, hours => 3600);
my %unit = ('' => 1, ns => 1e-9, ms => 1e-3, s => 1, min => 60, h => 3600, KiB => 2**10, MiB => 2**20, GiB => 2**30);

# "10'000", "256 * 1024" and "1ull" are one number each; undef: not a number.
sub number_of {
  my ($value) = @_;
  $value =~ s/'|ull//g;
  $value =~ s/\b([KMG]iB)\b/$unit{$1}/g;
  return $value =~ /^[\d\s*.]+$/ ? eval $value : undef;
}

# "10 000", "64 KiB", "20 s"; what follows a colon or stands in brackets explains it.
sub number_in_table {
  my ($cell) = @_;
  return unless $cell =~ /^(\d[\d ]*(?:\.\d+)?) ?(ns|ms|s|min|h|KiB|MiB|GiB|)(?:$|[:,(])/;
  my ($digits, $name) = ($1, $2);
  $digits =~ s/ //g;
  return ($digits * $unit{$name}, $name);
}

# Why a cell does not say the default of a member; nothing: it does.
sub differs {
  my ($cell, $type, $default, $milliseconds) = @_;
  my ($says, $name) = number_in_table($cell);
  my $is = number_of($default);
  if (defined $is) {
    return 'no number' unless defined $says;
    if ($type =~ /chrono::(\w+)/) {
      $is *= $seconds{$1};
      $says /= 1000 if $name eq '' && $milliseconds;
      return 'no unit' if $name eq '' && $says != 0 && !$milliseconds;
    }
    return abs($is - $says) <= 1e-9 * abs $is ? () : "$cell for $default";
  }
  return defined $says || $cell =~ /^`(?:true|false)`/ ? "$cell for nothing" : () if $default =~ /^(?:\{\})?$/;
  $default =~ s/^"(.*)"$/$1/ or $default =~ s/^\w+:://; # a text; the value of an enum
  return $cell eq "`$default`" ? () : "$cell for $default";
}

my %structs = public_structs();
my @wanted = sort grep { /Options$/ || $also_options{$_} } keys %structs;
my %seen = map { $_ => 1 } @wanted;
for my $struct (@wanted) { # grows while it is walked
  my @parts = map { $_->[1] =~ /(\w+)/g } members_of($structs{$struct});
  push @wanted, grep { $structs{$_} && !$no_options{$_} && !$seen{$_}++ } @parts;
}
verdict(@wanted > 30, 'knows ' . @wanted . ' structs of options', 'fewer than there are: is the pattern still right?');

for my $struct (@wanted) {
  my ($head, $section) = $text =~ /^\*\*\Q$struct\E\*\*([^\n]*)\n(.*?)(?=^\*\*|^## |^<\/?details>)/ms;
  my @members = members_of($structs{$struct});
  my %cell;
  for my $line (grep { /^\| `/ } split /\n/, $section // '') {
    my ($names, $default) = $line =~ /^\| (.+?) \| (.*?) \|/;
    $cell{$_} = $default for $names =~ /`(\w+)`/g;
  }
  my %known = map { $_->[0] => 1 } @members;
  my @missing = grep { !exists $cell{$_} } map { $_->[0] } @members;
  my @stale = grep { !$known{$_} } sort keys %cell;
  verdict(@members && !@missing && !@stale, "table of $struct", "missing: @missing; not in the header: @stale");

  my @wrong;
  for my $member (@members) {
    my ($name, $type, $default) = @$member;
    my $why = exists $cell{$name} ? differs($cell{$name}, $type, $default, $head =~ /in milliseconds/) : undef;
    push @wrong, "$name ($why)" if defined $why;
  }
  verdict(!@wrong, "defaults of $struct", join ', ', @wrong);
}

my ($ends) = $text =~ /^## How every call ends\n(.*?)^## /ms;
for my $enum (['Outcome', qr/^enum class Outcome \{\n(.*?)^\};/ms],
              ['ErrorCode', qr/^enum class ErrorCode : int \{\n(.*?)^\};/ms]) {
  my ($name, $pattern) = @$enum;
  my ($body) = slurp("$include/deepseek/error.hpp") =~ $pattern;
  $body =~ s{//.*}{}g;
  my %internal = map { $_ => 1 } qw(internal slow_reader);  # a fault of the library; not raised yet
  my @missing = grep { !$internal{$_} && $ends !~ /`\Q$_\E`/ } $body =~ /(\w+)(?: = \d+)?,/g;
  verdict(!@missing, "names every $name", "missing: @missing");
}

my ($phases) = slurp("$include/deepseek/policy/policy.hpp") =~ /^enum class Phase \{\n(.*?)^\};/ms;
my ($picture) = $text =~ /^<!-- pipeline -->\n```text\n(.*?)^```/ms;
my @phases = $phases =~ /(\w+),/g;
my %is_phase = map { $_ => 1 } @phases;
my @drawn = grep { $is_phase{$_} } ($picture // '') =~ /^   (\w+)/mg;
verdict("@drawn" eq "@phases", 'draws the pipeline in its order', "the phases are @phases");

# --- links and names of files ---------------------------------------------------------------------
my @broken;
for my $document ($readme, 'CHANGELOG.md', glob 'src/design/*.md') {
  my $folder = $document =~ m{^(.*/)} ? $1 : '';
  my $written = slurp($document) =~ s{^```.*?^```}{}gmsr;
  my $prose = $written =~ s{`[^`\n]*`}{}gr;
  for my $link (map { s/#.*//r } $prose =~ /\]\(([^)]+)\)/g) {
    push @broken, "$document: $link" unless $link =~ /^https?:/ || $link eq '' || -e $folder . $link;
  }
  next if $document eq 'CHANGELOG.md';  # it may name what is gone
  for my $file ($written =~ m{[\s`(]([\w/.-]+/[\w.-]+\.(?:[hi]pp|cpp|sh|py))\b}g,
                 $written =~ m{`(\w+\.(?:[hi]pp|cpp|sh))`}g) {
    push @broken, "$document: $file"
      unless grep { -e "$_$file" } '', $folder, "$include/", "$include/deepseek/", 'tests/support/';
  }
}
verdict(!@broken, 'and the design documents name files that exist', join ', ', @broken);

exit($failed ? 1 : 0);
