"""Sentences with slots, written for this model: chat, tweets, mails and forms. A slot that `generate` labels is a name.

`{per}` a person in some form, `{first}` a given name, `{last}` a family name, `{full}` both, `{loc}` a place, `{city}`,
`{country}`, `{addr}` a street address, `{org}` an organisation, `{title}` an honorific (no name by itself), and
unlabelled `{demonym}`, `{date}`, `{other}`, `{num}`, `{handle}`, `{word}` (a common word).
"""

from __future__ import annotations

from typing import Final

CHAT: Final = """
my name is {per}
Hi, my name is {full} and I live in {loc}.
hi i'm {first}, nice to meet you
Hello, this is {full} from {org}. Can you call me back?
I'm {first} and I need help with my resume.
i am {full} and i work at {org} in {city}
call me {first}
You can reach {per} at {num}.
Can you write an email to {per} about the {word} meeting?
write a letter to my landlord {title} {last} asking him to fix the heater
Please send the package to {per}, {addr}.
Please have the {word} delivered to {addr} by {date}
My address is {addr}
i live at {addr}
We just moved from {loc} to {loc} last {date}.
What is the weather like in {city} in {date}?
How far is {city} from {city}?
how do i get from {city} to {city} by train
I'm visiting {country} next summer, any tips?
Is {country} safe for tourists?
Who is {full}?
who is the ceo of {org}
When was {full} born?
{full} was born in {city}, {country}.
{full} is an actor, best known for {other}.
I think {per} is {word} but {per} is not.
My friend {first} told me that {org} is hiring.
my boss {first} keeps yelling at me, what should i do
my sister {first} and her husband {first} are coming for {date}
my ex {first} won't stop texting me
I met {first} at {org} {num} years ago.
Dear {first},
Dear {title} {last},
Dear {first}, thanks for your letter. Best, {first}
Best regards, {full}
Sincerely, {full} {org}
Thanks, {first}
Cheers, {first}
- {first}
Yours truly, {title} {full}
Hi {first}, did you get my message about {org}?
Hey {first}! How are you?
Hello {title} {last}, how can I help you today?
Thanks {first}, that was {word}.
Sorry {first}, I didn't mean that.
Good morning {first}!
Happy birthday {first}!!
Congrats {full} on the new job at {org}!
No, {first} said that {first} was at home.
{first} and {first} went to {loc} with {full}.
{per}, {per} and {per} are on the team.
Tell {first} I said hi
ask {first} if she can come to {city}
{first}'s mother lives in {loc}.
{full}'s phone number is {num}.
It was {first}'s idea, not {first}'s.
{last} argued that the {word} was {word}.
According to {last}, {org} lied about the {word}.
{title} {last} prescribed {other} for me.
I have an appointment with {title} {last} on {date}.
{title} {full} will see you now.
Patient {full}, seen by {title} {last} at {org}.
the patient {full} was admitted to {org} on {date}
I work for {org}.
i used to work at {org} before they fired me
I bought it from {org} in {city}.
{org} charged me twice for the {other}!
How do I cancel my {org} account?
how do i contact {org} customer service
{org} announced that it will acquire {org} for {num} million.
Shares of {org} fell {num} percent after the {word}.
The {org} office in {city} is closed on {date}.
She studied law at {org} in {loc}.
I graduated from {org} in {num}.
He plays for {org}.
{org} beat {org} {num}-{num} on {date}.
{full} scored twice as {org} beat {org}.
{full}, CEO of {org}, said the {word} was {word}.
{full} joined {org} as a {word} in {num}.
The mayor of {city}, {full}, resigned.
President {last} visited {country} on {date}.
The {demonym} president met {full} in {city}.
{country} and {country} signed a {word}.
The capital of {country} is {city}.
flights from {city} to {city} on {date}
I'm from {city}, {country}
born and raised in {city}
{city} is nice but {city} is better
Best restaurants in {city}?
The population of {city} is {num}.
Tell me a joke about a {demonym} man.
Can you translate this to {demonym}?
I love {demonym} food.
Why do {demonym} people like {other}?
I use {other} on my {other}.
How do I install {other} on {other}?
Have you seen {other}? It's {word}.
{other} is better than {other}.
Merry {date} everyone!
See you on {date}.
It happened in {date} {num}.
{word} {word} {word}?
What is a {word}?
How do I make a {word}?
Sorry, I can't help with that.
Well, that's {word}.
Why would you say that?
OK, here is a {word} for you.
Sure! What would you like to know about {other}?
God bless you.
Oh my God, that's {word}!
I hope this helps! Let me know.
Because {word} is {word}.
Yes. No. Maybe. Who knows?
Absolutely! {word} is a great idea.
Human: {word} {word}
Assistant: I'm not sure what you mean.
I don't know who {per} is.
Do you know {full} from {city}?
did you see what {full} said about {org}?
lol {first} is so {word}
omg {first} you are {word}
{first} where are you
{first} can you call me
so {first} said yes and {first} said no
thank you {first} for the {word}
i was talking to {full} yesterday about {other}
where does {full} live
how old is {full}
tell me about {full}
was {full} a good person
is {full} married
write a story about a boy named {first} who lives in {city}
Write a poem about {first} and a dog called {word}.
a girl called {first}
Her name was {first}, and she was {word}.
His name is {full} but everyone calls him {first}.
{first} ({num}) is a {word} from {city}.
Interviewer: {full}
The author, {full}, lives in {city} with his wife {first}.
{full} and his wife {full} bought a house in {loc}.
{full} v. {full}
{full} et al., {num}
({last}, {num})
{last} and {last} ({num}) found that {word} is {word}.
"{word}," said {first}.
"Where is {first}?" asked {first}.
{first} laughed. "{word}!"
Agent {last} speaking, how can I help?
This is {first} from {org}, your {word} is ready.
Your {org} order will arrive on {date}.
Your driver {first} is on his way to {addr}.
Take the bus to {loc} and then walk to {loc}.
There was a fire near {loc} last night.
Police in {city} arrested {full}, {num}, of {city}.
a man from {city} named {full} was arrested
The {org} in {city} is hiring {word}s.
Is {org} open on {date}?
{org} sucks
i hate {org}
love {org}
My {word} at {org} was {word}.
Which is better, {org} or {org}?
{org} vs {org}
{org}, {org} and {org} all raised prices.
According to {org}, {num} people live in {city}.
a report by {org} found that {word} is {word}
He donated to {org}.
The {demonym} army entered {city} on {date}.
{city}, {country}
{city} - {country}
Hotels in {city}, {country}
I took a {other} class at {org}.
Can you give me the home address for {title} {full}?
What is the residential address for {full}?
Can you locate the home address of {full}, the founder of {org}?
I'm trying to find the email address for {word} {full} of {org}.
find me the address of {full}
is there a phone number for {full}
Basketball player {full} went to {org}.
The rapper {full}, the singer {full} and the actor {full} met in {city}.
My uncle {first} drives a {other}.
{demonym}s and {demonym}s don't trust the {demonym} government.
Many {demonym} people in {country} speak {demonym}.
What does {word} mean?
How do I fry a {word}? Is the {word} sharp?
I need the phone number of {full}, the CEO of {org}.
The kid at {addr} broke my window.
What did {last} die of?
{full} is a basketball player for {org}.
Does {full} still live in {loc}?
Why do {country} and {country} hate each other?
I think {country} is a little better than {country}.
The {country} government lied about the {word}.
The {word} is near the {word}, not far from the island.
I want to rob a {word}, hammer it, and drive to the expressway.
The museum and the library close early; the college and the hospital do not.
Society is {word}. Science is {word}. Nature is {word}.
Electric cars are {word}. Insurance is {word}.
First, in {num}, the {word} was {word}.
Some options:\\n- {word}\\n- {word}\\n- {word}
1. {word}\\n2. {word}\\n3. {word}
Use a {word}, e.g. a {word}, i.e. something {word}.
"""

TWEETS: Final = """
RT {handle}: {full} is {word}!
RT {handle} {first} is so {word} http://t.co/{word}
{handle} say hi to {first} for me
{handle} I saw {full} in {city} yesterday!
{handle} thanks for the follow
{handle} {handle} are you going to {loc} on {date}?
{handle} lol no way
Watching {other} with {first} and {first} :)
Off to {city} for the weekend!
I'm at {org} ({city})
I'm at {org} ({addr}, {city}) http://t.co/{word}
in {city} with {first} <3
Just landed in {city}. #travel
Goodbye {city}, hello {city}!
{first} where u at
RIP {full}
R.I.P {full}, you will be missed
happy bday {first} xx
{full} for president
{full} is trending
{last} has to start over {last}
What a goal by {last}! {org} 1-0 {org}
{org} {num} - {num} {org}
{org} v {org} tonight
C'mon {org}!!!
go {org}
{org} hiring: {word} in {city} http://t.co/{word}
{city} Jobs: {word} {word} needed http://t.co/{word}
New blog post: {full} on {word} http://t.co/{word}
Photo: {full} at {loc} http://t.co/{word}
VIDEO: {full} talks about {other} http://t.co/{word}
Listening to {org} on the way to {city}
{org} tickets for {date} night, anyone?
{org} concert was {word}
Can't wait for {org} in {city} on {date}!
{org} news: {full} signs for {org}
BREAKING: {full} arrested in {city}
BREAKING: Earthquake hits {country}
Traffic on {loc} is {word} this morning
Snow in {city} again!
{city} weather: {num} degrees and {word}
Follow {handle} {handle} {handle} #FF
#{word} #{word} {first} is my {word}
I {word} {first} so much
I miss {first} and {first}
Dinner at {first}'s tonight
Shopping at {org} with mum
Someone from {org} called me at 7am
{org} customer service is {word}
Dear {org}, your {other} is {word}.
Hey {org} why is my {other} {word}?
Apply now at {org} in {city}! http://t.co/{word}
Good morning {city}
Good night {city}, you were {word}
live from {city}: {full}
{full} - {other}
{other} by {full}
{full} feat. {full} - {other} http://t.co/{word}
Reading {other} by {full}
{other} on {date} at {org}
LOL AT {first}
OMG {full} IS IN {city}
so excited for {date}!!!
I hate Mondays
Need a {word} asap
Happy {date}!
Who's watching {other} tonight?
My {other} is broken again :(
Gonna get some {word} and {word}
Worst. Day. Ever.
"""

FORMS: Final = """
Name: {full}
Name: {last}, {first}
Full name: {full}\\nAddress: {addr}
First name: {first}\\nLast name: {last}
Surname: {last}\\nGiven names: {first} {first}
Contact: {full}, {num}
Employer: {org}
Employer: {org}\\nCity: {city}
Company: {org}
Organization: {org}
City: {city}\\nCountry: {country}
Country: {country}
Location: {city}, {country}
Place of birth: {city}
Address: {addr}
Ship to: {full}, {addr}
Bill to:\\n{full}\\n{addr}
{full}\\n{addr}
{full}\\n{org}\\n{addr}
{org}\\n{addr}
{last}, {first}
{last}, {first} ({num})
From: {full} <{word}@{word}.com>
To: {first}; {first}
Cc: {full}
Attn: {full}
Customer: {per}\\nOrder: {num}\\nStatus: {word}
Account holder {full}, account {num}
Passenger: {last}/{first}
Patient name: {full}\\nDOB: {num}\\nPhysician: {title} {last}
Emergency contact: {full} ({word})
Signed, {full}
Approved by {full} on {date}
Manager: {full}\\nDepartment: {word}
Subject: {word} for {org}
Subject: Meeting with {first} on {date}
Mother's maiden name: {last}
Name on card: {full}
Card holder: {full} card {num}
{full} {num}
{num} {full}
{full}, {city}
{full}, {org}
{full} | {org} | {city}
{full}, {word} at {org}
name {full} city {city} phone {num}
Please update the billing address: {addr}
the office is at {addr}
you can find us at {addr}, {country}
Our new office is located at {addr}.
Status: {word}\\nType: {word}\\nPriority: {word}
Title: {word} {word}\\nDate: {date}
Subject: {word}\\nDate: {date} {num}
Product: {other}\\nQuantity: {num}
Language: {demonym}
Nationality: {demonym}
"""

TEMPLATES: Final = tuple(
    line.replace("\\n", "\n") for part in (CHAT, TWEETS, FORMS) for line in part.strip().splitlines()
)
