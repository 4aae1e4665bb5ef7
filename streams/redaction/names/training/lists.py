"""Word lists written for this model: well-known organisations, honorifics, street words, and names that are no PII.

Common knowledge, one `|`-separated paragraph each; the long lists of people and places come from packages.
"""

from __future__ import annotations

from typing import Final


def _split(text: str) -> tuple[str, ...]:
    return tuple(name for name in (" ".join(part.split()) for part in text.split("|")) if name)


COMPANIES: Final = _split("""
Google|Microsoft|Apple|Amazon|Facebook|Meta|Netflix|Twitter|Instagram|WhatsApp|Snapchat|TikTok|LinkedIn|YouTube|
Reddit|Spotify|Uber|Lyft|Airbnb|Tesla|SpaceX|Intel|AMD|Nvidia|IBM|Oracle|Cisco|Dell|HP|Hewlett-Packard|Samsung|Sony|
LG|Huawei|Xiaomi|Nokia|Motorola|BlackBerry|Lenovo|Asus|Acer|Toshiba|Panasonic|Philips|Siemens|Bosch|Canon|Nikon|Adobe|
Salesforce|SAP|VMware|PayPal|eBay|Yahoo|AOL|Alibaba|Tencent|Baidu|ByteDance|Zoom|Slack|Dropbox|GitHub|GitLab|OpenAI|
Anthropic|DeepMind|Hugging Face|Mozilla|Red Hat|Canonical|Squarespace|Shopify|Stripe|Square|Robinhood|Coinbase|
Binance|Etsy|Groupon|Yelp|Tinder|Pinterest|Tumblr|Flickr|Vimeo|Twitch|Discord|Valve|Nintendo|Sega|Electronic Arts|
Activision|Blizzard|Ubisoft|Rockstar Games|Epic Games|Bethesda|Capcom|Konami|Square Enix|Walmart|Target|Costco|Kroger|
Safeway|Publix|Whole Foods|Trader Joe's|Aldi|Lidl|Tesco|Sainsbury's|Asda|Morrisons|Waitrose|Marks & Spencer|
John Lewis|Argos|Boots|Superdrug|Poundland|Primark|Topshop|Debenhams|Harrods|Selfridges|Home Depot|Lowe's|IKEA|
Best Buy|GameStop|Staples|Office Depot|Walgreens|CVS|Rite Aid|Sephora|Macy's|Nordstrom|Bloomingdale's|Kohl's|JCPenney|
Sears|Kmart|Dollar General|Dollar Tree|Family Dollar|Old Navy|Gap|H&M|Zara|Forever 21|Urban Outfitters|
Abercrombie & Fitch|Hollister|American Eagle|Victoria's Secret|Nike|Adidas|Puma|Reebok|Under Armour|Lululemon|Levi's|
Gucci|Prada|Chanel|Dior|Louis Vuitton|Versace|Burberry|Armani|Rolex|Timex|McDonald's|Burger King|Wendy's|KFC|
Taco Bell|Subway|Chipotle|Domino's|Pizza Hut|Papa John's|Little Caesars|Starbucks|Dunkin' Donuts|Dunkin|Tim Hortons|
Costa Coffee|Caffè Nero|Pret|Nando's|Greggs|Chick-fil-A|Popeyes|Arby's|Sonic|Five Guys|Shake Shack|In-N-Out|
Whataburger|Jack in the Box|Dairy Queen|Panera|Olive Garden|Applebee's|Chili's|Denny's|IHOP|Cracker Barrel|
Outback Steakhouse|Red Lobster|Hooters|Cheesecake Factory|Waffle House|Krispy Kreme|Baskin-Robbins|Coca-Cola|Pepsi|
PepsiCo|Nestlé|Kraft|Heinz|Unilever|Procter & Gamble|Kellogg's|General Mills|Cadbury|Mars|Hershey's|Budweiser|
Heineken|Anheuser-Busch|Diageo|Ford|General Motors|GM|Chrysler|Toyota|Honda|Nissan|Mazda|Subaru|Hyundai|Kia|
Volkswagen|BMW|Mercedes-Benz|Daimler|Porsche|Ferrari|Fiat|Renault|Peugeot|Volvo|Jaguar Land Rover|Rivian|Lucid Motors|
Harley-Davidson|Boeing|Airbus|Lockheed Martin|Raytheon|Northrop Grumman|General Electric|GE|Rolls-Royce|BAE Systems|
Caterpillar|John Deere|3M|DuPont|Dow Chemical|BASF|Bayer|Pfizer|Moderna|AstraZeneca|Johnson & Johnson|Merck|Novartis|
Roche|GlaxoSmithKline|Sanofi|Eli Lilly|AbbVie|Monsanto|Exxon|ExxonMobil|Shell|BP|Chevron|Texaco|Total|Gazprom|Aramco|
Halliburton|Enron|Duke Energy|British Gas|EDF|E.ON|Thames Water|JPMorgan|JPMorgan Chase|Chase|Bank of America|
Wells Fargo|Citibank|Citigroup|Goldman Sachs|Morgan Stanley|Lehman Brothers|Capital One|American Express|Visa|
Mastercard|Discover|HSBC|Barclays|Lloyds|Lloyds Bank|NatWest|Santander|Halifax|Nationwide|TD Bank|
Royal Bank of Canada|Scotiabank|Deutsche Bank|Commerzbank|UBS|Credit Suisse|BNP Paribas|Société Générale|ING|Rabobank|
State Bank of India|ICICI Bank|HDFC|Standard Chartered|BlackRock|Vanguard|Fidelity|Charles Schwab|Berkshire Hathaway|
State Farm|Geico|Allstate|Progressive|Aflac|MetLife|Prudential|AIG|Aetna|Cigna|Humana|UnitedHealth|Blue Cross|
Kaiser Permanente|Anthem|Experian|Equifax|TransUnion|Deloitte|PwC|KPMG|Ernst & Young|McKinsey|Bain|Accenture|
Capgemini|Infosys|Wipro|Tata|Tata Consultancy Services|Cognizant|Reliance|Mahindra|AT&T|Verizon|T-Mobile|Sprint|
Comcast|Xfinity|Time Warner|Cox|Vodafone|O2|EE|BT|Orange|Telefonica|Telstra|Optus|Bell|Rogers|Telus|Virgin Media|Sky|
Disney|Walt Disney|Pixar|DreamWorks|Warner Bros|Universal|Paramount|20th Century Fox|Lionsgate|Marvel|HBO|Hulu|Delta|
Delta Airlines|American Airlines|United Airlines|Southwest|Southwest Airlines|JetBlue|Spirit Airlines|Air Canada|
British Airways|Ryanair|EasyJet|Lufthansa|Air France|KLM|Emirates|Qatar Airways|Etihad|Qantas|Singapore Airlines|
Virgin Atlantic|Aer Lingus|Marriott|Hilton|Hyatt|Sheraton|Holiday Inn|Best Western|Motel 6|Premier Inn|Travelodge|
Expedia|Booking.com|TripAdvisor|FedEx|UPS|DHL|USPS|Royal Mail|Hermes|Greyhound|Amtrak|Hertz|Avis|Enterprise|DoorDash|
Grubhub|Uber Eats|Deliveroo|Instacart|Craigslist|Gumtree|Zillow|Redfin|Monsanto|Cambridge Analytica|Theranos|WeWork|
Peloton|GoPro|Fitbit|Garmin|Roku|Sonos|Bose|Lego|Hasbro|Mattel|Petco|PetSmart|Bed Bath & Beyond|Barnes & Noble|
Waterstones|WHSmith|HMV|Toys R Us|Babies R Us|Blockbuster|Nordstrom Rack|TJ Maxx|Marshalls|Sam's Club|Harris Teeter|
Wegmans|Albertsons|Food Lion|7-Eleven|Wawa|Sheetz|Circle K|Red Bull|Monster Energy|TPG
""")

MEDIA: Final = _split("""
BBC|BBC News|CNN|Fox News|Fox|MSNBC|NBC|CBS|ABC|ABC News|NPR|PBS|ESPN|MTV|VH1|BET|C-SPAN|Al Jazeera|Reuters|
Associated Press|AP|AFP|Bloomberg|New York Times|NY Times|NYT|Washington Post|Wall Street Journal|WSJ|USA Today|
LA Times|Los Angeles Times|Chicago Tribune|Boston Globe|The Guardian|Guardian|Daily Mail|The Sun|Daily Telegraph|
The Times|The Independent|Financial Times|The Economist|Time Magazine|Newsweek|Forbes|Fortune|Vogue|Rolling Stone|
Billboard|TMZ|BuzzFeed|HuffPost|Huffington Post|Vice|Vox|Breitbart|Politico|The Onion|Mashable|TechCrunch|Wired|
Engadget|Gizmodo|National Geographic|Discovery Channel|History Channel|Food Network|Comedy Central|Cartoon Network|
Nickelodeon|Disney Channel|Sky News|Sky Sports|ITV|ITV2|Channel 4|Channel 5|BBC One|BBC Radio 1|Radio 1|Kerrang|NME|
Der Spiegel|Le Monde|El País|Times of India|Hindustan Times|NDTV|Sydney Morning Herald|Toronto Star|CBC|
Globe and Mail|Playboy|Wikipedia|WikiLeaks|Universal Music|Sony Music|Def Jam|Island Records|Columbia Records|
Simon & Schuster|Penguin|HarperCollins
""")

AGENCIES: Final = _split("""
FBI|CIA|NSA|IRS|DEA|ATF|DHS|Homeland Security|TSA|FEMA|FDA|CDC|NIH|EPA|FCC|FTC|SEC|NASA|NOAA|USDA|DMV|ICE|
Department of Justice|DOJ|Department of Defense|Department of Education|State Department|Pentagon|White House|
Congress|Senate|House of Representatives|Supreme Court|Federal Reserve|US Army|Navy|US Navy|Air Force|Marine Corps|
Coast Guard|National Guard|Secret Service|Social Security Administration|Library of Congress|Parliament|
House of Commons|House of Lords|NHS|HMRC|DVLA|DWP|MI5|MI6|GCHQ|Scotland Yard|Met Police|Metropolitan Police|RAF|
Royal Navy|Home Office|Ministry of Defence|RCMP|NYPD|LAPD|Interpol|Europol|KGB|FSB|Mossad|Kremlin|United Nations|UN|
UNICEF|UNESCO|WHO|World Health Organization|IMF|World Bank|WTO|NATO|European Union|EU|European Commission|
European Parliament|African Union|ASEAN|OPEC|Red Cross|Oxfam|Greenpeace|Amnesty International|PETA|ASPCA|WWF|
Save the Children|Salvation Army|Doctors Without Borders|Habitat for Humanity|Planned Parenthood|NRA|ACLU|NAACP|AARP|
Boy Scouts|Girl Scouts|YMCA|Freemasons|KKK|Ku Klux Klan|Taliban|ISIS|Al-Qaeda|Hamas|Hezbollah|IRA|Antifa|Proud Boys|
Black Lives Matter|Republican Party|Democratic Party|GOP|Labour Party|Labour|Conservative Party|Tories|Lib Dems|UKIP|
SNP|Green Party|Nazi Party|BJP|Sinn Fein|Tea Party|Communist Party|DNC|RNC|Catholic Church|Church of England|
Mormon Church|Church of Scientology|Vatican|Westboro Baptist Church|Harvard|Harvard University|Yale|Yale University|
Princeton|Stanford|Stanford University|MIT|Columbia University|Cornell|Brown University|Dartmouth|UPenn|Duke|
Duke University|UCLA|USC|UC Berkeley|NYU|Georgetown|Notre Dame|Northwestern|Michigan State|Ohio State|Penn State|
Texas A&M|Florida State|University of Michigan|University of Texas|University of Chicago|Arizona State|LSU|Oxford|
Oxford University|Cambridge University|Imperial College|LSE|UCL|King's College|University of Edinburgh|McGill|
University of Toronto|University of Melbourne|IIT|IIT Bombay|Caltech|Carnegie Mellon|Johns Hopkins|Vanderbilt|Purdue|
Virginia Tech|Georgia Tech|Baylor|Syracuse|Rutgers|Temple University|Howard University|Pew Research Center|Gallup|
Cato Institute|Heritage Foundation|Brookings Institution|RAND Corporation|Mayo Clinic|Cleveland Clinic|NYSE|Nasdaq|
Lloyd's of London
""")

TEAMS: Final = _split("""
Manchester United|Man United|Man Utd|Man U|Manchester City|Man City|Liverpool|Arsenal|Chelsea|Tottenham|
Tottenham Hotspur|Spurs|Everton|Newcastle United|Aston Villa|West Ham|Leeds United|Leicester City|Southampton|Fulham|
Crystal Palace|Stoke City|Swansea City|Sunderland|Wigan|QPR|Wolves|Blackburn Rovers|Bolton|Norwich City|Celtic|
Rangers|Hearts|Aberdeen|Barcelona|FC Barcelona|Barca|Real Madrid|Atletico Madrid|Sevilla|Valencia|Juventus|AC Milan|
Inter Milan|AS Roma|Napoli|Lazio|Bayern Munich|Borussia Dortmund|Schalke|PSG|Paris Saint-Germain|Ajax|PSV|Feyenoord|
Porto|Benfica|Galatasaray|Fenerbahce|Boca Juniors|Flamengo|Santos|LA Galaxy|Seattle Sounders|New York Yankees|Yankees|
Red Sox|Boston Red Sox|Mets|Dodgers|Giants|Cubs|White Sox|Cardinals|Braves|Phillies|Astros|Texas Rangers|Angels|
Padres|Mariners|Athletics|Orioles|Blue Jays|Rays|Royals|Tigers|Twins|Indians|Brewers|Pirates|Reds|Marlins|Nationals|
Rockies|Diamondbacks|Lakers|Celtics|Knicks|Nets|Bulls|Cavaliers|Cavs|Pistons|Pacers|Bucks|Hawks|Hornets|Miami Heat|
Heat|Magic|Wizards|Raptors|76ers|Sixers|Warriors|Golden State Warriors|Clippers|Kings|Suns|Mavericks|Mavs|Rockets|
Grizzlies|Pelicans|San Antonio Spurs|Thunder|Nuggets|Jazz|Blazers|Timberwolves|Patriots|New England Patriots|Pats|
Bills|Dolphins|Jets|Steelers|Ravens|Browns|Bengals|Colts|Titans|Texans|Jaguars|Broncos|Chiefs|Raiders|Chargers|
Cowboys|Dallas Cowboys|Eagles|Redskins|Packers|Green Bay Packers|Bears|Vikings|Lions|Saints|Falcons|Panthers|
Carolina Panthers|Buccaneers|Seahawks|49ers|Niners|Rams|Bruins|Canadiens|Habs|Maple Leafs|Leafs|Senators|Canucks|
Flames|Oilers|Penguins|Flyers|Capitals|Blackhawks|Red Wings|Blues|Sabres|Sharks|Ducks|Predators|Lightning|Coyotes|
Crimson Tide|Buckeyes|Longhorns|Sooners|Gators|Huskers|Huskies|NFL|NBA|MLB|NHL|MLS|UFC|WWE|TNA|FIFA|UEFA|NCAA|PGA|ATP|
WTA|NASCAR|IOC|ICC|Premier League|La Liga|Serie A|Bundesliga|IPL|Mumbai Indians|Chennai Super Kings|
Harlem Globetrotters|All Blacks|Leicester Tigers|Leeds Rhinos|Team GB|Team Canada
""")

BANDS: Final = _split("""
The Beatles|Beatles|Rolling Stones|Led Zeppelin|Pink Floyd|Queen|The Who|The Doors|The Clash|Nirvana|Pearl Jam|
Foo Fighters|Metallica|Megadeth|Slayer|Black Sabbath|Iron Maiden|AC/DC|Guns N' Roses|Aerosmith|Bon Jovi|Kiss|U2|
Coldplay|Radiohead|Oasis|Blur|Muse|Arctic Monkeys|Kings of Leon|The Killers|Green Day|Blink-182|Fall Out Boy|
My Chemical Romance|Paramore|Panic! At The Disco|Linkin Park|Limp Bizkit|Slipknot|Korn|System of a Down|
Rage Against the Machine|Tool|Red Hot Chili Peppers|Maroon 5|OneRepublic|Imagine Dragons|Mumford & Sons|Arcade Fire|
Vampire Weekend|Daft Punk|LMFAO|Black Eyed Peas|Backstreet Boys|NSYNC|One Direction|1D|JLS|The Wanted|Take That|
Westlife|Boyzone|Spice Girls|Little Mix|Girls Aloud|Destiny's Child|TLC|Jonas Brothers|5 Seconds of Summer|BTS|
Blackpink|Super Junior|SNSD|Big Bang|EXO|Wu-Tang Clan|N.W.A|Run-DMC|Beastie Boys|Public Enemy|OutKast|Odd Future|D12|
Swedish House Mafia|Fleetwood Mac|The Eagles|ABBA|Bee Gees|Depeche Mode|The Cure|The Smiths|Joy Division|New Order|
Duran Duran|The Script|Snow Patrol|Keane|Biffy Clyro|You Me At Six|All Time Low|Simple Plan|Sum 41|
Thirty Seconds to Mars|Evanescence|Lady Antebellum|Rascal Flatts|Parliament
""")

ORGANISATIONS: Final = COMPANIES + MEDIA + AGENCIES + TEAMS + BANDS

ORG_SUFFIXES: Final = _split("""
Inc|Inc.|Corp|Corp.|Corporation|Company|Co.|LLC|L.L.C.|Ltd|Ltd.|Limited|PLC|plc|LLP|GmbH|AG|KG|SA|S.A.|BV|NV|AB|Oy|
ApS|SpA|Group|Holdings|Partners|Associates|Industries|Enterprises|Solutions|Systems|Technologies|Labs|Bank|Foundation|
Institute|University|College|School|Academy|Hospital|Clinic|Church|Society|Association|Union|League|Agency|Ministry|
Department|Commission|Committee|Council|Trust|Airlines|Airways|Motors|Records|Studios|Pictures|Entertainment|Media|
Press|FC|United|Insurance|Pharmacy|Laboratories|Consulting|Logistics|Ventures|Capital|Federation|Authority|Bureau|
Club|Theatre|Museum|and Sons|& Sons|& Co|Bros|Brothers
""")

ORG_STEMS: Final = _split("""
Acme|Apex|Summit|Pioneer|Northern|Southern|Pacific|Atlantic|Global|National|First|United|Premier|Elite|Sunrise|Silver|
Golden|Blue Ridge|Red Rock|Evergreen|Lakeside|Riverside|Highland|Valley|Metro|Central|Coastal|Mountain|Prairie|
Liberty|Patriot|Heritage|Legacy|Beacon|Compass|Horizon|Quantum|Fusion|Vertex|Nexus|Zenith|Orion|Titan|Phoenix|Falcon|
Cobalt|Crimson|Emerald|Sapphire|Maple|Oak|Cedar|Willow|Stone|Iron|Bright|Clear|Smart|Rapid|Swift|True|Prime|Alpha|
Delta|Omega|Sigma|Nova|Stellar|Lunar|Solar|Terra|Aqua|Vita|Bio|Cyber|Digi|Info|Tech|Data|Cloud|Pixel|Logic|Micro|
Inter|Trans|Omni|Vantage|Keystone|Cornerstone|Landmark|Milestone|Crossroads|Gateway|Harbor|Anchor|Lighthouse|
Northstar|Greenfield|Redwood
""")

ORG_TRADES: Final = _split("""
Dental|Dental Care|Medical Center|Health|Health Care|Pharmacy|Auto Repair|Motors|Plumbing|Electric|Construction|
Roofing|Landscaping|Realty|Properties|Insurance|Financial|Financial Services|Capital|Bank|Credit Union|Savings Bank|
Law Group|Legal Services|Consulting|Marketing|Media|Design|Software|Systems|Technologies|Networks|Analytics|Robotics|
Energy|Oil|Mining|Steel|Chemicals|Foods|Bakery|Coffee|Brewing|Restaurant|Grill|Catering|Hotels|Travel|Airlines|
Logistics|Freight|Shipping|Trucking|Storage|Furniture|Apparel|Toys|Books|Press|Records|Pictures|Studios|Entertainment|
Games|Sports|Fitness|Gym|Yoga|Salon|Spa|Veterinary Clinic|Pet Care|Elementary School|High School|Middle School|
College|University|Academy|Community College|Public Library|Hospital|General Hospital|Church|Baptist Church|
Methodist Church|Foundation|Institute|Research Institute|Historical Society|Museum|Theater|Symphony|Orchestra|
Football Club|Police Department|Fire Department|County Council|City Council|School District|Housing Association|
Water Company|Gas|Telecom|Wireless|Broadband|Cable
""")

TITLES: Final = _split("""
Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Madam|Lord|Lady|Rev|Reverend|Father|Sister|Brother|Captain|Capt|Sgt|Sergeant|
Lt|Lieutenant|Col|Colonel|General|Gen|Major|President|Senator|Sen|Congressman|Congresswoman|Governor|Gov|Mayor|Judge|
Justice|Officer|Detective|Coach|Uncle|Aunt|Auntie|Grandma|Grandpa|King|Queen|Prince|Princess|Pope|Saint|Minister|
Doctor|Representative|Rep|Congressperson|Chairman|Chairwoman|Secretary|Ambassador|Chancellor|Sheriff|Bishop|Cardinal|
Rabbi|Imam|Nurse
""")

STREETS: Final = _split("""
Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Highway|Hwy|
Parkway|Pkwy|Circle|Cir|Crescent|Close|Grove|Gardens|Hill|Mews|Row|Trail|Alley|Bridge|Freeway|Expressway|Turnpike|
Pike|Plaza|Park|Station|Airport|Beach|Lake|River|Mount|Mountain|Valley|Island|Islands|Bay|County|City|Town|Village|
Borough|District|Province|Region|North|South|East|West|Northern|Southern|Eastern|Western|Central|Upper|Lower|Stadium|
Arena|Strasse|Straße|Platz|Allee|Weg|Rue|Via|Piazza|Calle|Avenida|Plaza|Rua|Ulica|Straat|Laan|Gatan|Vej|Vägen
""")

REGIONS: Final = _split("""
Africa|Asia|Europe|Antarctica|Oceania|North America|South America|Latin America|Central America|Middle East|Far East|
Southeast Asia|Eastern Europe|Western Europe|Scandinavia|Balkans|Caribbean|Midwest|West Coast|East Coast|Deep South|
New England|Silicon Valley|Bay Area|Southern California|SoCal|NorCal|Hollywood|Manhattan|Brooklyn|Queens|Bronx|
The Bronx|Harlem|Staten Island|Long Island|Wall Street|Times Square|Central Park|Broadway|Empire State Building|
Statue of Liberty|Golden Gate Bridge|Las Vegas Strip|Vegas|Disneyland|Disney World|Grand Canyon|Yellowstone|
Niagara Falls|Mount Everest|Everest|Himalayas|Alps|Andes|Rockies|Rocky Mountains|Appalachia|Sahara|Amazon River|Nile|
Mississippi River|Thames|Danube|Rhine|Atlantic|Pacific|Atlantic Ocean|Pacific Ocean|Mediterranean|Gulf of Mexico|
Persian Gulf|Black Sea|Red Sea|Lake Michigan|Lake Tahoe|Great Lakes|England|Scotland|Wales|Northern Ireland|
Great Britain|Britain|UK|U.K.|United Kingdom|USA|U.S.A.|US|U.S.|United States|United States of America|America|
The States|UAE|Soviet Union|USSR|Yugoslavia|Czechoslovakia|East Germany|Tibet|Kashmir|Punjab|Bengal|Kurdistan|Crimea|
Catalonia|Bavaria|Tuscany|Sicily|Normandy|Provence|Yorkshire|Cornwall|Devon|Kent|Essex|Sussex|Surrey|Norfolk|Suffolk|
Lancashire|Cumbria|Cheshire|Dorset|Somerset|Hampshire|Oxfordshire|Highlands|Lake District|West Midlands|East London|
West End|East End|Soho|Camden|Brixton|Wembley|Heathrow|Gatwick|JFK|LAX|O'Hare|Buckingham Palace|Downing Street|
Big Ben|London Bridge|Trafalgar Square|Eiffel Tower|Louvre|Notre Dame|Versailles|Colosseum|Berlin Wall|Red Square|
Taj Mahal|Great Wall|Tiananmen Square|Mecca|Holy Land|Gaza|West Bank|Palestine|Jerusalem|Guantanamo Bay|Pearl Harbor|
Ground Zero|Area 51|Alcatraz|Capitol Hill|Beverly Hills|Malibu|Santa Monica|Venice Beach|Old Trafford|Anfield|
Stamford Bridge|Emirates Stadium|Wembley Stadium|Madison Square Garden|Fenway Park|Yankee Stadium|NYC|L.A.|LA|SF|DC|
D.C.|Washington DC|Washington, D.C.|Philly|ATL|Frisco|Cali|Jersey|Tex|Oz|Aussie Rules Park|Down Under|Jupiter|Venus|
Saturn|Neptune|Mars|Moon Base|Hong Kong|Macau|Puerto Rico|Guam|Hawaii|Oahu|Maui|Bali|Ibiza|Tenerife|Majorca
""")

DEMONYMS: Final = _split("""
American|British|English|Scottish|Welsh|Irish|Canadian|Australian|French|German|Spanish|Italian|Portuguese|Dutch|
Belgian|Swiss|Austrian|Swedish|Norwegian|Danish|Finnish|Icelandic|Polish|Czech|Slovak|Hungarian|Romanian|Bulgarian|
Greek|Turkish|Russian|Ukrainian|Belarusian|Serbian|Croatian|Bosnian|Albanian|Slovenian|Estonian|Latvian|Lithuanian|
Georgian|Armenian|Azerbaijani|Israeli|Palestinian|Lebanese|Syrian|Iraqi|Iranian|Persian|Saudi|Arabian|Arab|Arabic|
Egyptian|Moroccan|Algerian|Tunisian|Libyan|Sudanese|Ethiopian|Somali|Kenyan|Ugandan|Tanzanian|Nigerian|Ghanaian|
South African|Zimbabwean|African|Asian|European|Indian|Pakistani|Bangladeshi|Sri Lankan|Nepali|Afghan|Chinese|
Taiwanese|Japanese|Korean|Mongolian|Vietnamese|Thai|Filipino|Indonesian|Malaysian|Singaporean|Burmese|Cambodian|
Mexican|Cuban|Jamaican|Haitian|Puerto Rican|Dominican|Colombian|Venezuelan|Brazilian|Argentine|Argentinian|Chilean|
Peruvian|Bolivian|Ecuadorian|Hispanic|Latino|Latina|Latinx|Caucasian|Jewish|Muslim|Christian|Catholic|Protestant|
Baptist|Mormon|Buddhist|Hindu|Sikh|Atheist|Islamic|Hebrew|Yiddish|Latin|Mandarin|Cantonese|Hindi|Urdu|Tamil|Telugu|
Swahili|Nazi|Communist|Marxist|Republican|Democrat|Democratic|Conservative|Liberal|Libertarian|Socialist|Zionist|
Native American|African American|Asian American|Texan|Californian|New Yorker|Parisian|Londoner|Roman|Viking|Celtic|
Aztec|Mayan|Cherokee|Navajo|Inuit|Kurdish|Tibetan|Maori|Aboriginal|Scandinavian|Slavic|Nordic|Balkan|Mediterranean|
Western|Eastern
""")

DATES: Final = _split("""
January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|
Sept|Oct|Nov|Dec|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|Mon|Tue|Tues|Wed|Thu|Thurs|Fri|Sat|Sun|
Christmas|Christmas Eve|Easter|Halloween|Thanksgiving|New Year|New Year's Eve|Valentine's Day|Mother's Day|
Father's Day|Independence Day|Labor Day|Memorial Day|Veterans Day|Hanukkah|Passover|Ramadan|Eid|Diwali|Holi|Kwanzaa|
Black Friday|Cyber Monday|Boxing Day|Bank Holiday|St. Patrick's Day|Lent|Good Friday|Yom Kippur|Rosh Hashanah|
Juneteenth|Cinco de Mayo|Spring|Summer|Autumn|Winter|Fall
""")

OTHER: Final = _split("""
iPhone|iPad|iPod|iTunes|iOS|MacBook|iMac|Siri|Alexa|Cortana|Kindle|Android|Windows|Windows 10|Linux|Ubuntu|macOS|Xbox|
Xbox 360|PlayStation|PS3|PS4|PS5|Wii|Game Boy|Galaxy S5|Pixel 4|Echo|Chromebook|Photoshop|Excel|Word|PowerPoint|
Outlook|Gmail|Google Maps|Google Docs|Chrome|Firefox|Safari|Internet Explorer|Bing|Python|Java|JavaScript|Ruby|Perl|
Rust|Swift|Kotlin|Django|React|Node.js|TensorFlow|PyTorch|MySQL|PostgreSQL|Redis|Kafka|Docker|Kubernetes|Jenkins|Jira|
Confluence|AutoCAD|Bluetooth|WiFi|Wi-Fi|USB|GPS|HTML|CSS|SQL|JSON|API|PDF|HTTP|DNA|RNA|HIV|AIDS|COVID|COVID-19|Covid|
SARS|Ebola|ADHD|PTSD|OCD|LSD|MDMA|THC|CBD|Ecstasy|Xanax|Adderall|Prozac|Tylenol|Advil|Viagra|Botox|Vaseline|Kleenex|
Band-Aid|Lysol|Clorox|Windex|Drano|Tide|Febreze|Oreo|Nutella|Doritos|Cheerios|Coke|Diet Coke|Sprite|Fanta|Gatorade|
Guinness|Jack Daniel's|Bacardi|Champagne|Merlot|Chardonnay|Corolla|Camry|Civic|Accord|Mustang|Camaro|Corvette|F-150|
Prius|Model 3|Golf GTI|Jeep|Boeing 747|Titanic|Enterprise D|Star Wars|Star Trek|Harry Potter|Lord of the Rings|
Game of Thrones|Breaking Bad|The Simpsons|Family Guy|South Park|Friends|Seinfeld|The Office|Lost|Glee|Twilight|
Hunger Games|Avatar|Inception|Frozen|Toy Story|Jurassic Park|Jaws|The Godfather|Pulp Fiction|Fight Club|The Matrix|
Hamlet|Macbeth|Romeo and Juliet|The Great Gatsby|Moby Dick|To Kill a Mockingbird|Bible|The Bible|Quran|Koran|Torah|
Minecraft|Fortnite|Call of Duty|Halo|Grand Theft Auto|GTA|World of Warcraft|League of Legends|Dota|Counter-Strike|
Skyrim|Fallout|Zelda|Pokemon|Pokémon|Mario Kart|Tetris|Candy Crush|Angry Birds|FarmVille|Monopoly|Scrabble|X Factor|
American Idol|Big Brother|Survivor|The Voice|Britain's Got Talent|Strictly Come Dancing|EastEnders|Coronation Street|
Doctor Who|Sherlock|Downton Abbey|Death Note|Naruto|One Piece|World War I|World War II|WWII|WW2|Civil War|Cold War|
Vietnam War|Holocaust|Great Depression|Renaissance|Industrial Revolution|French Revolution|Big Bang|Black Death|
Olympics|World Cup|Super Bowl|Champions League|Grammys|Oscars|Academy Awards|Emmys|Nobel Prize|Pulitzer Prize|
Constitution|Declaration of Independence|Bill of Rights|First Amendment|Second Amendment|Magna Carta|Medicare|
Medicaid|Obamacare|Social Security|Brexit|God|Jesus|Jesus Christ|Allah|Buddha|Satan|Lord|Holy Spirit|Heaven|Hell|
Earth|Sun|Moon|Internet|Web|Bitcoin|Ethereum|Dogecoin|Dow Jones|Wall Street Crash|Christianity|Islam|Judaism|Buddhism|
Hinduism|Catholicism|Marxism|Communism|Capitalism|Socialism|Fascism|Nazism|Feminism|PhD|MBA|CEO|CFO|CTO|VP|HR|PR|IT|
AI|TV|DVD|CD|PC|OK|FAQ|DIY|ASAP|FYI|BTW|LOL|OMG|WTF|LMAO|ROFL|SMH|TBH|IMO|IMHO|IDK|RT|DM|FF|TGIF|RIP|BRB|Human|
Assistant|User|System|Santa|Santa Claus|Easter Bunny|Tooth Fairy|Batman|Superman|Spider-Man|Spiderman|Iron Man|
Wonder Woman|Hulk|Thor|Wolverine|Mickey Mouse|Donald Duck|Bugs Bunny|Homer Simpson|Bart Simpson|Pikachu|Darth Vader|
Yoda|Gandalf|Dracula|Frankenstein|Sherlock Holmes|Nyquil|Zoloft|Ritalin|Ibuprofen|Aspirin|Valium|Vicodin|Oxycontin|
Percocet|Botany|Biology|Chemistry|Physics|English 101|Algebra|Calculus
""")

FAMOUS: Final = _split("""
Barack Obama|Donald Trump|Joe Biden|Hillary Clinton|Bill Clinton|George Bush|George Washington|Abraham Lincoln|
John F. Kennedy|Ronald Reagan|Richard Nixon|Bernie Sanders|Nancy Pelosi|Mitch McConnell|Kamala Harris|Mike Pence|
Mitt Romney|Sarah Palin|Vladimir Putin|Angela Merkel|David Cameron|Boris Johnson|Tony Blair|Margaret Thatcher|
Theresa May|Winston Churchill|Adolf Hitler|Joseph Stalin|Mao Zedong|Kim Jong-un|Xi Jinping|Narendra Modi|
Mahatma Gandhi|Nelson Mandela|Martin Luther King|Malcolm X|Rosa Parks|Albert Einstein|Isaac Newton|Charles Darwin|
Stephen Hawking|Marie Curie|Nikola Tesla|Thomas Edison|Alan Turing|Steve Jobs|Bill Gates|Elon Musk|Jeff Bezos|
Mark Zuckerberg|Warren Buffett|Tim Cook|Larry Page|William Shakespeare|Charles Dickens|Jane Austen|Mark Twain|
Ernest Hemingway|J.K. Rowling|Stephen King|George Orwell|Leonardo da Vinci|Pablo Picasso|Vincent van Gogh|
Ludwig van Beethoven|Wolfgang Amadeus Mozart|Elvis Presley|Michael Jackson|Madonna|Prince|Justin Bieber|Lady Gaga|
Rihanna|Beyoncé|Beyonce|Jay-Z|Kanye West|Eminem|Drake|Lil Wayne|Nicki Minaj|Taylor Swift|Katy Perry|Britney Spears|
Miley Cyrus|Selena Gomez|Demi Lovato|Adele|Ed Sheeran|Harry Styles|Zayn Malik|Niall Horan|Louis Tomlinson|Liam Payne|
Bruno Mars|Chris Brown|Usher|Snoop Dogg|50 Cent|Dr. Dre|Tupac|Kurt Cobain|John Lennon|Paul McCartney|David Bowie|
Freddie Mercury|Bob Dylan|Bob Marley|Jimi Hendrix|Johnny Cash|Dolly Parton|Ariana Grande|Post Malone|Cher|Cher Lloyd|
Brad Pitt|Angelina Jolie|Tom Cruise|Tom Hanks|Leonardo DiCaprio|Johnny Depp|Will Smith|Robert Downey Jr.|
Scarlett Johansson|Jennifer Aniston|Jennifer Lawrence|Jennifer Lopez|Emma Watson|Daniel Radcliffe|Robert Pattinson|
Kristen Stewart|Oprah Winfrey|Ellen DeGeneres|Jimmy Fallon|Conan O'Brien|Simon Cowell|Gordon Ramsay|Kim Kardashian|
Paris Hilton|Charlie Sheen|Mel Gibson|Steven Spielberg|Quentin Tarantino|Alfred Hitchcock|Walt Disney|Marilyn Monroe|
Audrey Hepburn|Bruce Lee|Jackie Chan|Arnold Schwarzenegger|Sylvester Stallone|Michael Jordan|LeBron James|Kobe Bryant|
Shaquille O'Neal|Stephen Curry|Tom Brady|Peyton Manning|Aaron Rodgers|Tim Tebow|Tiger Woods|Serena Williams|
Roger Federer|Rafael Nadal|Novak Djokovic|Andy Murray|Cristiano Ronaldo|Lionel Messi|Wayne Rooney|David Beckham|
Steven Gerrard|Frank Lampard|John Terry|Robin van Persie|Thierry Henry|Luis Suarez|Mario Balotelli|Usain Bolt|
Muhammad Ali|Mike Tyson|Floyd Mayweather|Lance Armstrong|Babe Ruth|Julian Assange|Edward Snowden|Osama bin Laden|
Saddam Hussein|Fidel Castro|Che Guevara|Karl Marx|Sigmund Freud|Plato|Aristotle|Socrates|Napoleon|Julius Caesar|
Cleopatra|Alexander the Great|Genghis Khan|Queen Elizabeth|Prince William|Kate Middleton|Prince Harry|Meghan Markle|
Princess Diana|Dalai Lama|Mother Teresa|Pope Francis|Confucius|Monica Lewinsky
""")

ROMANISED: Final = _split("""
Mohammed|Muhammad|Mohamed|Ahmed|Ahmad|Ali|Hassan|Hussein|Omar|Umar|Khalid|Khaled|Ibrahim|Ismail|Yusuf|Youssef|Mustafa|
Mahmoud|Abdullah|Abdul|Abdulrahman|Karim|Kareem|Tariq|Tarek|Samir|Sami|Rashid|Nasser|Faisal|Salim|Saleh|Jamal|Bilal|
Hamza|Zayd|Fatima|Aisha|Khadija|Maryam|Mariam|Zainab|Zahra|Layla|Leila|Noor|Nour|Huda|Amina|Yasmin|Yasmeen|Salma|
Rania|Samira|Nadia|Farah|Hanan|Amira|Iman|Al-Farsi|Al-Sayed|El-Sayed|Mansour|Haddad|Khoury|Nasr|Aziz|Rahman|Hosseini|
Ahmadi|Karimi|Rezaei|Mohammadi|Farhad|Reza|Mehdi|Dariush|Shirin|Nasrin|Parisa|Azadeh|Cohen|Levi|Mizrahi|Peretz|Biton|
Avraham|Friedman|Goldberg|Shapiro|Moshe|Yosef|Avi|Noa|Tamar|Shira|Yael|Eitan|Wei|Fang|Xiu|Ying|Jing|Min|Qiang|Jun|Jie|
Tao|Hao|Xin|Yan|Mei|Ling|Hui|Lei|Bo|Feng|Yong|Xiaoming|Zhiwei|Jianhua|Guoqiang|Yuxuan|Zihan|Haoran|Wang|Li|Zhang|Liu|
Chen|Yang|Huang|Zhao|Wu|Zhou|Xu|Sun|Ma|Zhu|Hu|Guo|He|Lin|Gao|Luo|Zheng|Liang|Xie|Tang|Deng|Feng|Han|Cao|Peng|Zeng|
Xiao|Tian|Dong|Pan|Yuan|Cai|Jiang|Yu|Du|Ye|Cheng|Wei|Su|Lu|Ding|Ren|Shen|Kim|Lee|Park|Choi|Jung|Kang|Cho|Yoon|Jang|
Lim|Seo-yeon|Min-jun|Ji-hoon|Hye-jin|Soo-jin|Nguyen|Tran|Le|Pham|Hoang|Phan|Vu|Vo|Dang|Bui|Do|Ngo|Duong|Thanh|Minh|
Linh|Huong|Trang|Tuan|Hung|Dung|Phuong|Thao|Ivan|Dmitri|Dmitry|Sergei|Sergey|Alexei|Andrei|Mikhail|Nikolai|Vladimir|
Boris|Igor|Oleg|Yuri|Pavel|Anatoly|Viktor|Olga|Natasha|Natalia|Svetlana|Tatiana|Irina|Elena|Ekaterina|Anastasia|
Ludmila|Oksana|Ivanov|Ivanova|Petrov|Petrova|Sidorov|Smirnov|Smirnova|Kuznetsov|Popov|Popova|Volkov|Volkova|Sokolov|
Lebedev|Kozlov|Novikov|Morozov|Pavlov|Fedorov|Fedorova|Mikhailov|Shevchenko|Kovalenko|Bondarenko|Tkachenko|Kravchenko|
Kowalski|Nowak|Wisniewski|Novak|Horvat|Kovac|Jovanovic|Petrovic|Nikolic|Markovic|Dimitrov|Georgiev|Papadopoulos|
Georgiou|Nikolaidis|Yamamoto|Tanaka|Sato|Suzuki|Takahashi|Watanabe|Ito|Nakamura|Kobayashi|Kato|Yoshida|Yamada|Sasaki|
Hiroshi|Takashi|Kenji|Yuki|Haruto|Sakura|Aiko|Naoko|Akira|Satoshi|Yoko|Okafor|Okonkwo|Adeyemi|Adebayo|Chukwu|Eze|
Nwosu|Obi|Balogun|Ogunleye|Chinedu|Emeka|Ngozi|Chioma|Amaka|Oluwaseun|Olumide|Tunde|Folake|Yetunde|Kwame|Kofi|Kwabena|
Ama|Akosua|Abena|Mensah|Boateng|Owusu|Asante|Appiah|Osei|Kamau|Mwangi|Otieno|Ochieng|Wanjiru|Njoroge|Kipchoge|Achieng|
Dlamini|Nkosi|Zulu|Khumalo|Mthembu|Sipho|Thabo|Thandiwe|Nomsa|Diallo|Traoré|Traore|Keita|Coulibaly|Diop|Ndiaye|Sow|Ba|
Touré|Toure|Tesfaye|Abebe|Bekele|Haile|Girma|Priya|Rahul|Amit|Anjali|Pooja|Neha|Rohit|Sanjay|Vijay|Ravi|Suresh|Ramesh|
Rajesh|Mahesh|Ganesh|Kavita|Sunita|Anita|Deepak|Vikram|Arjun|Aditya|Karthik|Lakshmi|Saraswati|Meera|Divya|Shreya|
Ananya|Ishaan|Rohan|Nikhil|Varun|Gaurav|Manish|Ashok|Patel|Shah|Singh|Kumar|Sharma|Gupta|Verma|Mehta|Joshi|Desai|
Kapoor|Khanna|Malhotra|Chopra|Agarwal|Banerjee|Mukherjee|Chatterjee|Das|Bose|Ghosh|Sen|Roy|Iyer|Iyengar|Nair|Menon|
Pillai|Reddy|Rao|Naidu|Krishnan|Subramanian|Venkatesh|Khan|Malik|Qureshi|Siddiqui|Chaudhry|Butt|Bhatt|Begum|Hossain|
Islam|Uddin|Perera|Fernando|Silva|Santos|Reyes|Cruz|Bautista|Garcia|Mendoza|Putra|Sari|Wijaya|Santoso|Susanto|Hidayat|
Nurul|Siti|Dewi|Agus|Budi|Somchai|Somsak|Malee|Aung|Kyaw|Thant|Batbayar|Dorji|Tenzin
""")
